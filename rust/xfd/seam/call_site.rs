// SPDX-License-Identifier: GPL-2.0
//! The call of the #NM handler in the kernel's exception stubs, and its redirection to ours.
//!
//! One 5-byte instruction is exchanged for one 5-byte instruction: the kernel's text patching can
//! make no other exchange safe while other CPUs run the stub.

use super::refusal::Refusal;
use super::symbols::{extent, find, optional, variants};
use crate::bindings;
use crate::fault;
use crate::xstate::near_call::{self, NearCall};
use kernel::prelude::*;
use kernel::sync::SetOnce;

struct CallSites {
    idt: NearCall,
    fred: Option<NearCall>,
    original: usize,
    text_mutex: *mut kernel::bindings::mutex,
}

// SAFETY: addresses of kernel text, which stays; the mutex is the kernel's own.
unsafe impl Send for CallSites {}
// SAFETY: as above; writes go through `text_mutex`.
unsafe impl Sync for CallSites {}

static SITES: SetOnce<CallSites> = SetOnce::new();

/// Finds the calls, and changes nothing.
pub(crate) fn locate() -> Result<(), Refusal> {
    let original = find(c"exc_device_not_available")?;
    let stub = c"asm_exc_device_not_available";
    let idt = only(references(find(stub)?, original)).ok_or(Refusal::NoCallSite(stub))?;
    // SAFETY: reads a CPU feature bit.
    let has_fred = unsafe { bindings::xfd_cpu_has_fred() } || fault::pretend_fred();
    let fred = if has_fred {
        let calls = variants(c"fred_hwexc").flat_map(|stub| references(stub, original));
        Some(only(calls).ok_or(Refusal::NoCallSite(c"fred_hwexc"))?)
    } else {
        // Nothing comes by it: not worth a look at every symbol of the kernel, which is three quarters
        // of loading. gcc's name for it, and clang's; without CONFIG_X86_FRED there is none.
        only(
            [c"fred_hwexc.constprop.0", c"fred_hwexc"]
                .into_iter()
                .filter_map(optional)
                .flat_map(|stub| references(stub, original)),
        )
    };

    for site in [Some(idt), fred].into_iter().flatten() {
        site.leading_to(entry()).ok_or(Refusal::OutOfReach)?;
    }
    let text_mutex = find(c"text_mutex")? as *mut kernel::bindings::mutex;
    SITES.populate(CallSites {
        idt,
        fred,
        original,
        text_mutex,
    });
    Ok(())
}

/// Makes every #NM that comes by the IDT come to this module. Sleeps.
///
/// Errors: [`Refusal::NoCallSite`] if somebody else has exchanged the instruction meanwhile.
pub(crate) fn redirect_idt() -> Result<(), Refusal> {
    let sites = SITES.as_ref().ok_or(Refusal::NoMemory)?;
    sites.redirect(sites.idt, c"asm_exc_device_not_available")
}

/// The same for those that come by FRED; nothing on a kernel without it. Sleeps.
pub(crate) fn redirect_fred() -> Result<(), Refusal> {
    let sites = SITES.as_ref().ok_or(Refusal::NoMemory)?;
    match sites.fred {
        Some(fred) => sites.redirect(fred, c"fred_hwexc"),
        None => Ok(()),
    }
}

/// Gives #NM back to the kernel: nobody enters by the IDT any more. Sleeps.
///
/// Errors: EBUSY, if the instruction is not the one that [`redirect_idt`] wrote.
pub(crate) fn restore_idt() -> Result {
    let sites = SITES.as_ref().ok_or(EINVAL)?;
    sites.restore(sites.idt)
}

/// The same by FRED.
pub(crate) fn restore_fred() -> Result {
    let sites = SITES.as_ref().ok_or(EINVAL)?;
    sites.fred.map_or(Ok(()), |fred| sites.restore(fred))
}

fn entry() -> usize {
    bindings::xfd_nm_entry as *const () as usize
}

impl CallSites {
    fn redirect(&self, site: NearCall, stub: &'static CStr) -> Result<(), Refusal> {
        self.exchange(site, self.original, entry())
            .map_err(|_| Refusal::NoCallSite(stub))
    }

    fn restore(&self, site: NearCall) -> Result {
        self.exchange(site, entry(), self.original)
    }

    fn exchange(&self, site: NearCall, from: usize, to: usize) -> Result {
        let (Some(old), Some(new)) = (site.leading_to(from), site.leading_to(to)) else {
            return Err(EINVAL);
        };
        // SAFETY: `locate` found a call or jump of 5 bytes there, and `new` is one of the same
        // kind; `text_mutex` is the kernel's.
        kernel::error::to_result(unsafe {
            bindings::xfd_gate_poke5(
                site.address as *mut c_void,
                old.as_ptr(),
                new.as_ptr(),
                self.text_mutex,
            )
        })
    }
}

/// The one of these, if there is no other.
fn only(mut calls: impl Iterator<Item = NearCall>) -> Option<NearCall> {
    let first = calls.next()?;
    calls.next().is_none().then_some(first)
}

/// Whether the function `caller` calls `function`: the compiler put no copy of it in its place.
pub(super) fn is_called_by(function: usize, caller: usize) -> bool {
    references(caller, function).next().is_some()
}

/// The near calls and jumps to `target` in the function at `start`.
fn references(start: usize, target: usize) -> impl Iterator<Item = NearCall> {
    // SAFETY: a function in the kernel's text, which is mapped and readable, of that many bytes. Others may
    // patch it meanwhile; what is found is looked at again, under the kernel's lock, before it is exchanged.
    let text = unsafe { core::slice::from_raw_parts(start as *const u8, extent(start)) };
    near_call::find_all(text, start, target)
}
