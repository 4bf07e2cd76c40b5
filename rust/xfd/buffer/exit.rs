// SPDX-License-Identifier: GPL-2.0
//! exit: the enlarged buffer of an exiting task goes to the pool at once.
//!
//! The kernel's own code keeps it until the last reference to the task is gone, one RCU grace
//! period after the task was reaped (`arch_release_task_struct()`, arch/x86/kernel/process.c:118).
//! Here the next thread can have it, a zombie does not hold one, and context switches on the way
//! out do not save registers that nobody will need.

use super::enlarged;
use crate::bindings;
use crate::seam::refusal::Refusal;
use crate::seam::symbols::find;
use kernel::prelude::*;
use kernel::sync::SetOnce;

/// Address of the kernel's `struct tracepoint` for sched_process_exit, which is never freed.
static TRACEPOINT: SetOnce<usize> = SetOnce::new();

/// Finds the tracepoint, and changes nothing.
///
/// Errors: [`Refusal::NoSymbol`].
pub(crate) fn locate() -> Result<(), Refusal> {
    TRACEPOINT.populate(find(c"__tracepoint_sched_process_exit")?);
    Ok(())
}

fn tracepoint() -> *mut c_void {
    TRACEPOINT.as_ref().map_or(0, |&address| address) as *mut c_void
}

/// Starts calling [`xfd_before_exit`]. `locate` must have succeeded. Sleeps.
///
/// Errors: [`Refusal::NoMemory`].
pub(crate) fn watch() -> Result<(), Refusal> {
    // SAFETY: `locate` found this tracepoint. This is process context.
    kernel::error::to_result(unsafe { bindings::xfd_exit_watch(tracepoint()) })
        .map_err(|_| Refusal::NoMemory)
}

/// Stops calling it: nobody enters through it any more. Sleeps.
///
/// Errors: ENOMEM; then it is still called.
pub(crate) fn unwatch() -> Result {
    // SAFETY: the life cycle calls this only after `watch` succeeded. This is process context.
    kernel::error::to_result(unsafe { bindings::xfd_exit_unwatch(tracepoint()) })
}

/// Waits until nobody is in the probe. Sleeps.
pub(crate) fn synchronize() {
    // SAFETY: this is process context with no lock held.
    unsafe { bindings::xfd_exit_synchronize() }
}

/// Called by a user task that exits and does not return to user mode. Must not sleep, except for a
/// spinlock on PREEMPT_RT.
#[no_mangle]
extern "C" fn xfd_before_exit() {
    enlarged::discard_current();
}
