// SPDX-License-Identifier: GPL-2.0
//! Counts the tasks that are in this module's code, where they may sleep (inside.c). Unloading waits
//! for them.

use crate::bindings;

/// Current is counted as being in this module's code, where it may sleep. Unloading waits for it.
pub(crate) struct Counted(());

impl Counted {
    /// Counts current until the guard is dropped. Any context except NMI.
    pub(crate) fn enter() -> Self {
        // SAFETY: this adds one to a counter, which is possible in any context.
        unsafe { bindings::xfd_enter_counted() };
        Self(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // SAFETY: `enter` counted current. Unloading also waits for a task that has just left.
        unsafe { bindings::xfd_leave_counted() }
    }
}

/// Current, which entry.c counted, leaves the module's code. Task context, interrupts on.
#[inline(always)]
pub(crate) fn leave() {
    // SAFETY: entry.c counted current.
    unsafe { bindings::xfd_leave_counted() }
}
