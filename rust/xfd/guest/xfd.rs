// SPDX-License-Identifier: GPL-2.0
//! A virtual CPU's IA32_XFD, as written by its guest or by its VMM (KVM_SET_MSRS).

use crate::bindings::fpu_guest;
use crate::buffer::registers::{invalidate_fpregs, xstate_bv, Fpregs};
use crate::cpu::current::current_fpu;
use crate::xstate::guest::{update_xfd, XfdUpdate};
use crate::xstate::xfeature::Xfeatures;

/// Replaces `fpu_update_guest_xfd()` (arch/x86/kernel/fpu/core.c:323): sets the guest's IA32_XFD to
/// `xfd`. Task context, interrupts on. Does not sleep.
///
/// Components that `xfd` disables are removed from a saved register image, because loading them
/// would raise #NM in the kernel. The kernel's own code does that only if the *calling thread's*
/// registers are in memory, which says nothing about a vCPU that this thread does not run
/// (KVM_SET_MSRS). It also writes the MSR when the registers in this CPU may be another task's.
///
/// # Safety
///
/// `guest` is a valid virtual CPU that is run by current or by nobody.
#[no_mangle]
pub(crate) unsafe extern "C" fn xfd_set_guest_xfd(guest: *mut fpu_guest, xfd: u64) {
    let xfd = Xfeatures::from_bits(xfd);
    let fpregs = Fpregs::lock();
    let owned = fpregs.owned();
    // SAFETY: nobody else uses the buffer, and `fpregs` prevents a context switch.
    unsafe {
        let state = (*guest).fpstate;
        let runs = (*state).in_use() != 0;
        (*state).xfd = xfd.bits();
        match (update_xfd(xfd, runs, owned.is_some()), owned) {
            (XfdUpdate::InRegisters, Some(owned)) => owned.arm(xfd),
            (XfdUpdate::InMemory { drop }, _) => {
                let in_image = xstate_bv(state);
                in_image.write(in_image.read() & !drop.bits());
                if runs {
                    invalidate_fpregs(current_fpu());
                }
            }
            // Cannot happen: `InRegisters` is only returned if the registers are ours.
            (XfdUpdate::InRegisters, None) => (),
        }
    }
}
