// SPDX-License-Identifier: GPL-2.0
//! Begin and end of reclaim in the module. Before the module is unloaded, each task whose buffer is
//! reclaimed gets another one from outside (owed.c).

use super::regrow::{allocate_nofail, count_regrown, Slot, USED};
use crate::bindings::{self, fpu};
use crate::buffer::fpstate::FpstateBuffer;
use crate::buffer::pool;
use crate::buffer::registers::invalidate_fpregs;
use crate::seam::refusal::Refusal;
use crate::xstate::permission;
use crate::xstate::xfeature::Xfeatures;
use kernel::bindings::task_struct;
use kernel::prelude::*;

/// Attaches the background pass: passes begin. Sleeps. Does not fail.
pub(crate) fn begin() -> Result<(), Refusal> {
    // SAFETY: this is process context, and may sleep.
    unsafe { bindings::xfd_background_start() };
    Ok(())
}

/// Detaches it: no more passes begin, and a running one ends early. Sleeps, but does not wait for
/// the running one. Does not fail.
pub(crate) fn end() -> Result {
    // SAFETY: the life cycle calls this only after `begin`. This may sleep.
    unsafe { bindings::xfd_background_stop() };
    Ok(())
}

/// Waits for a running pass, and gives every task its buffer back. Sleeps.
pub(crate) fn give_back() {
    // SAFETY: this may sleep, and `end` was called before, so no new pass begins.
    unsafe { bindings::xfd_background_synchronize() };
    give_all_back();
    pool::close();
}

/// Gives every task whose buffer was reclaimed another one. Reclaim has ended. Sleeps.
fn give_all_back() {
    loop {
        // SAFETY: this is process context, and may sleep.
        let owed = unsafe { bindings::xfd_claim_owed() };
        if owed.is_null() {
            return;
        }
        let mut offer = allocate_nofail();
        // SAFETY: `owed` was claimed just now, and `offer` outlives the call.
        unsafe { bindings::xfd_give_to(owed, (&raw mut offer).cast()) };
    }
}

/// Gives `task`, which is held and does not run, the buffer in `offer` if it needs one. `permitted`
/// is the mask of its process. Interrupts off.
///
/// # Safety
///
/// `task` is a user task that is held, and `offer` comes from [`give_all_back`].
#[no_mangle]
unsafe extern "C" fn xfd_give_held(task: *mut task_struct, permitted: u64, offer: *mut c_void) {
    if !permission::allows(Xfeatures::from_bits(permitted), USED) {
        return;
    }
    // SAFETY: by the contract of this function both are valid, and a held task's buffer is ours.
    let (offer, slot, fpu) = unsafe {
        let fpu: *mut fpu = bindings::xfd_task_fpu(task).cast();
        let offer = &mut *offer.cast::<Option<FpstateBuffer>>();
        (offer, Slot::of(fpu), fpu)
    };
    let Some(slot) = slot else { return };
    let Some(buffer) = offer.take() else { return };
    // SAFETY: the task is held and does not run, so its contents are in memory and its buffers are
    // ours. A buffer that was not taken must not be dropped here, so it goes back into `offer`.
    let installed = unsafe {
        match slot {
            Slot::InPlace(slot) => buffer
                .install_saved(slot, USED)
                .map(|()| invalidate_fpregs(fpu)),
            Slot::Aside(slot) => buffer.install_saved(slot, USED),
        }
    };
    match installed {
        // SAFETY: `task` is held, so it does not go away.
        Ok(()) => unsafe { count_regrown(task) },
        Err(unused) => *offer = Some(unused),
    }
}
