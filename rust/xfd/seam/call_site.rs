// SPDX-License-Identifier: GPL-2.0
//! The call of the #NM handler in the kernel's exception stubs, and its redirection to ours.
//!
//! One 5-byte instruction is exchanged for one 5-byte instruction: the kernel's text patching can
//! make no other exchange safe while other CPUs run the stub.

use super::bindings;
use super::refusal::Refusal;
use super::symbols::{find, optional};
use kernel::prelude::*;
use kernel::sync::SetOnce;

const CALL: u8 = 0xe8;
const JMP: u8 = 0xe9;
const LENGTH: usize = 5;

/// Bytes of a stub that are searched: asm_exc_device_not_available takes about 40, fred_hwexc
/// less than 512 in Linux 7.2. Neighbours do not call this handler.
const IDT_STUB: usize = 96;
const FRED_STUB: usize = 512;

/// One `call` or `jmp` of the kernel's handler.
#[derive(Clone, Copy)]
struct CallSite {
    address: usize,
    opcode: u8,
}

struct CallSites {
    idt: CallSite,
    fred: Option<CallSite>,
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
    let idt = only_reference(find(stub)?, IDT_STUB, original).ok_or(Refusal::NoCallSite(stub))?;
    // Absent without CONFIG_X86_FRED, and not reached on a CPU without FRED.
    let fred = optional(c"fred_hwexc").and_then(|at| only_reference(at, FRED_STUB, original));

    for site in [Some(idt), fred].into_iter().flatten() {
        instruction(site, entry()).ok_or(Refusal::OutOfReach)?;
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

/// Makes every #NM come to this module. Sleeps.
pub(crate) fn redirect() {
    if let Some(sites) = SITES.as_ref() {
        sites.point_at(entry());
    }
}

/// Gives #NM back to the kernel, and waits until nobody is in this module's handler, or sleeps in
/// its code elsewhere. Sleeps.
pub(crate) fn restore() {
    if let Some(sites) = SITES.as_ref() {
        sites.point_at(sites.original);
        // SAFETY: the calls lead elsewhere now, so nobody enters any more.
        unsafe { bindings::xfd_wait_for_handlers() };
    }
}

fn entry() -> usize {
    bindings::xfd_nm_entry as *const () as usize
}

impl CallSites {
    fn point_at(&self, target: usize) {
        for site in [Some(self.idt), self.fred].into_iter().flatten() {
            if let Some(bytes) = instruction(site, target) {
                // SAFETY: `locate` found a call or jump of 5 bytes there, and `bytes` is one of
                // the same kind; `text_mutex` is the kernel's.
                unsafe {
                    bindings::xfd_gate_poke5(
                        site.address as *mut c_void,
                        bytes.as_ptr(),
                        self.text_mutex,
                    )
                };
            }
        }
    }
}

/// The instruction that leads from `site` to `target`, if that is near enough.
fn instruction(site: CallSite, target: usize) -> Option<[u8; LENGTH]> {
    let distance = target.wrapping_sub(site.address + LENGTH) as isize;
    let [a, b, c, d] = i32::try_from(distance).ok()?.to_le_bytes();
    Some([site.opcode, a, b, c, d])
}

/// The one near call or jump to `target` in the `length` bytes from `start`.
fn only_reference(start: usize, length: usize, target: usize) -> Option<CallSite> {
    // SAFETY: `start` is a function in the kernel's text, which is mapped and readable far beyond
    // these few bytes.
    let text = unsafe { core::slice::from_raw_parts(start as *const u8, length) };
    let mut found = text.windows(LENGTH).enumerate().filter_map(|(i, bytes)| {
        let &[opcode @ (CALL | JMP), a, b, c, d] = bytes else {
            return None;
        };
        let distance = i32::from_le_bytes([a, b, c, d]) as isize;
        let address = start + i;
        ((address + LENGTH).wrapping_add_signed(distance) == target)
            .then_some(CallSite { address, opcode })
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}
