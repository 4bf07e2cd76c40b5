// SPDX-License-Identifier: GPL-2.0
//! exit: the enlarged buffer of a task that ends goes to the pool at once.
//!
//! The kernel's own code keeps it until the last reference to the task is gone: a grace period of
//! RCU after it was reaped (`arch_release_task_struct()`, arch/x86/kernel/process.c:118). Here
//! the next thread finds it, a zombie has none, and no context switch on the way out saves the
//! registers of a task that does not come back.

use super::enlarged;
use crate::bindings;
use crate::seam::refusal::Refusal;
use crate::seam::symbols::find;
use kernel::prelude::*;
use kernel::sync::SetOnce;

/// Address of the kernel's `struct tracepoint` sched_process_exit, which is never freed.
static TRACEPOINT: SetOnce<usize> = SetOnce::new();

/// Finds the tracepoint, and changes nothing.
pub(crate) fn locate() -> Result<(), Refusal> {
    TRACEPOINT.populate(find(c"__tracepoint_sched_process_exit")?);
    Ok(())
}

fn tracepoint() -> *mut c_void {
    TRACEPOINT.as_ref().map_or(0, |&address| address) as *mut c_void
}

/// From now on [`xfd_before_exit`] is called. Sleeps. `locate` comes first.
pub(crate) fn watch() -> Result<(), Refusal> {
    // SAFETY: the address is that of a tracepoint.
    kernel::error::to_result(unsafe { bindings::xfd_exit_watch(tracepoint()) })
        .map_err(|_| Refusal::NoMemory)
}

/// Nobody enters by it any more. Sleeps.
///
/// Errors: ENOMEM; it is called then as before.
pub(crate) fn unwatch() -> Result {
    // SAFETY: `watch` began it.
    kernel::error::to_result(unsafe { bindings::xfd_exit_unwatch(tracepoint()) })
}

/// Waits until nobody is in it. Sleeps.
pub(crate) fn synchronize() {
    // SAFETY: sleeping is allowed.
    unsafe { bindings::xfd_exit_synchronize() }
}

/// Called by a user task that is about to end and does not return to user mode; must not sleep.
#[no_mangle]
extern "C" fn xfd_before_exit() {
    enlarged::discard_current();
}
