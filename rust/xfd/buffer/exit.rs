// SPDX-License-Identifier: GPL-2.0
//! exit: the enlarged buffer of a task that ends goes to the pool at once.
//!
//! The kernel's own code keeps it until the last reference to the task is gone: a grace period of
//! RCU after it was reaped (`arch_release_task_struct()`, arch/x86/kernel/process.c:118). Here
//! the next thread finds it, a zombie has none, and no context switch on the way out saves the
//! registers of a task that does not come back.

use crate::seam::bindings;
use crate::seam::refusal::Refusal;
use crate::seam::symbols::find;
use crate::reclaim::shrink;
use kernel::prelude::*;
use kernel::sync::SetOnce;

/// Address of the kernel's `struct tracepoint` sched_process_exit, which is never freed.
static TRACEPOINT: SetOnce<usize> = SetOnce::new();

/// Finds the tracepoint, and changes nothing.
pub(crate) fn locate() -> Result<(), Refusal> {
    TRACEPOINT.populate(find(c"__tracepoint_sched_process_exit")?);
    Ok(())
}

/// From now on [`xfd_before_exit`] is called. Sleeps.
///
/// Errors: ENOMEM.
pub(crate) fn watch() -> Result {
    let Some(&tracepoint) = TRACEPOINT.as_ref() else {
        return Err(EINVAL);
    };
    // SAFETY: the address is that of a tracepoint.
    kernel::error::to_result(unsafe { bindings::xfd_exit_watch(tracepoint as *mut c_void) })
}

/// No longer; waits until nobody is in it. Sleeps.
pub(crate) fn unwatch() {
    if let Some(&tracepoint) = TRACEPOINT.as_ref() {
        // SAFETY: `watch` began it.
        unsafe { bindings::xfd_exit_unwatch(tracepoint as *mut c_void) }
    }
}

/// Called by a user task that is about to end and does not return to user mode; must not sleep.
#[no_mangle]
extern "C" fn xfd_before_exit() {
    shrink::retire();
}
