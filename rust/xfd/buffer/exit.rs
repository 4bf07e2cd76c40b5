// SPDX-License-Identifier: GPL-2.0
//! exit: an exiting task's enlarged buffer goes to the pool immediately.
//!
//! The kernel's own code keeps it until the last reference to the task is gone, one RCU grace
//! period after the task was reaped (`arch_release_task_struct()`, arch/x86/kernel/process.c:118).
//! Here the next thread can have it right away, a zombie does not hold one, and context switches
//! during exit do not save registers that nobody will need.

use super::enlarged;
use crate::bindings;
use crate::seam::refusal::Refusal;
use crate::seam::symbols::find;
use kernel::prelude::*;
use kernel::sync::SetOnce;

/// Address of the kernel's `struct tracepoint` for sched_process_exit, which is never freed.
static TRACEPOINT: SetOnce<usize> = SetOnce::new();

/// Finds the tracepoint without changing anything.
///
/// Errors: [`Refusal::NoSymbol`].
pub(crate) fn locate() -> Result<(), Refusal> {
    TRACEPOINT.populate(find(c"__tracepoint_sched_process_exit")?);
    Ok(())
}

fn tracepoint() -> *mut c_void {
    TRACEPOINT.as_ref().map_or(0, |&address| address) as *mut c_void
}

/// Starts calling [`xfd_before_exit`]. `locate` must have succeeded. May sleep.
///
/// Errors: [`Refusal::NoMemory`].
pub(crate) fn watch() -> Result<(), Refusal> {
    // SAFETY: `locate` found this tracepoint, and this is process context.
    kernel::error::to_result(unsafe { bindings::xfd_exit_watch(tracepoint()) })
        .map_err(|_| Refusal::NoMemory)
}

/// Stops calling it: from then on nobody enters through it. May sleep.
///
/// Errors: ENOMEM, in which case it is still called.
pub(crate) fn unwatch() -> Result {
    // SAFETY: lifecycle.rs calls this only after `watch` succeeded. This is process context.
    kernel::error::to_result(unsafe { bindings::xfd_exit_unwatch(tracepoint()) })
}

/// Waits until nobody is in the probe. May sleep.
pub(crate) fn synchronize() {
    // SAFETY: this is process context with no lock held.
    unsafe { bindings::xfd_exit_synchronize() }
}

/// Called by a user task that is exiting and will not return to user mode. Must not sleep, except
/// for a spinlock on PREEMPT_RT.
#[no_mangle]
extern "C" fn xfd_before_exit() {
    enlarged::discard_current();
}
