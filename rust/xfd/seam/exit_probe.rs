// SPDX-License-Identifier: GPL-2.0
//! The tracepoint at which exit_probe.c calls [`crate::buffer::exit`].

use super::refusal::Refusal;
use super::symbols::find;
use crate::bindings;
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

/// Starts calling `xfd_before_exit`. `locate` must have succeeded. Sleeps.
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
