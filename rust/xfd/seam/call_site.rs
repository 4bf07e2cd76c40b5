// SPDX-License-Identifier: GPL-2.0
//! Finds the call of the #NM handler in the kernel's exception stubs, and redirects it to ours.
//!
//! A 5-byte instruction is replaced by another 5-byte instruction. That is the only replacement
//! that the kernel's text patching can make safely while other CPUs are running the stub.

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

// SAFETY: the addresses are in kernel text, which is never freed, and the mutex is the kernel's.
unsafe impl Send for CallSites {}
// SAFETY: it is never written after `locate`, and kernel text is only written under `text_mutex`.
unsafe impl Sync for CallSites {}

static SITES: SetOnce<CallSites> = SetOnce::new();

/// Finds the calls without changing anything.
///
/// Errors: [`Refusal::NoSymbol`], [`Refusal::NoCallSite`], [`Refusal::OutOfReach`].
pub(crate) fn locate() -> Result<(), Refusal> {
    let original = find(c"exc_device_not_available")?;
    let stub = c"asm_exc_device_not_available";
    let idt = only(references(find(stub)?, original)).ok_or(Refusal::NoCallSite(stub))?;
    // SAFETY: this only reads a CPU feature bit.
    let has_fred = unsafe { bindings::xfd_cpu_has_fred() } || fault::pretend_fred();
    let fred = if has_fred {
        let calls = variants(c"fred_hwexc").flat_map(|stub| references(stub, original));
        Some(only(calls).ok_or(Refusal::NoCallSite(c"fred_hwexc"))?)
    } else {
        // Nothing enters through FRED, so this is not worth walking all kernel symbols, which takes
        // three quarters of the load time. These are gcc's and clang's names for the function.
        // Without CONFIG_X86_FRED there is none.
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

/// Redirects every #NM delivered through the IDT to this module. May sleep.
///
/// Errors: [`Refusal::NoCallSite`] if somebody else has since changed the instruction.
pub(crate) fn redirect_idt() -> Result<(), Refusal> {
    let sites = SITES.as_ref().ok_or(Refusal::NoMemory)?;
    sites.redirect(sites.idt, c"asm_exc_device_not_available")
}

/// The same for an #NM delivered through FRED. Does nothing on a kernel without FRED. May sleep.
pub(crate) fn redirect_fred() -> Result<(), Refusal> {
    let sites = SITES.as_ref().ok_or(Refusal::NoMemory)?;
    match sites.fred {
        Some(fred) => sites.redirect(fred, c"fred_hwexc"),
        None => Ok(()),
    }
}

/// Gives the #NM back to the kernel: from then on nobody enters through the IDT. May sleep.
///
/// Errors: EBUSY if the instruction is not the one that [`redirect_idt`] wrote.
pub(crate) fn restore_idt() -> Result {
    let sites = SITES.as_ref().ok_or(EINVAL)?;
    sites.restore(sites.idt)
}

/// The same for FRED.
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
        // SAFETY: `locate` found a 5-byte call or jump at this address, `new` is another of the
        // same kind, and `text_mutex` is the kernel's.
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

/// The only element of `calls`, or `None` if there is not exactly one.
fn only(mut calls: impl Iterator<Item = NearCall>) -> Option<NearCall> {
    let first = calls.next()?;
    calls.next().is_none().then_some(first)
}

/// Whether the function `caller` calls `function`. It does not if the compiler has inlined it.
pub(super) fn is_called_by(function: usize, caller: usize) -> bool {
    references(caller, function).next().is_some()
}

/// The near calls and jumps to `target` in the function at `start`.
fn references(start: usize, target: usize) -> impl Iterator<Item = NearCall> {
    // SAFETY: this is a function of that many bytes in kernel text, which is mapped and readable.
    // Others may be patching it, so the instruction is compared again under `text_mutex` before it
    // is replaced.
    let text = unsafe { core::slice::from_raw_parts(start as *const u8, extent(start)) };
    near_call::find_all(text, start, target)
}
