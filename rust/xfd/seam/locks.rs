// SPDX-License-Identifier: GPL-2.0
//! Guards: the lock around a process's permissions, being counted as inside, interrupts.

use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// `current->sighand->siglock`, interrupts off: guards the process's permissions.
pub(crate) struct Siglock(PhantomData<*const ()>);

impl Siglock {
    /// Takes the lock. Interrupts must be on: dropping the guard turns them on.
    pub(crate) fn lock() -> Self {
        // SAFETY: a running user task has a sighand until it has exited.
        unsafe { bindings::xfd_siglock_current() };
        Self(PhantomData)
    }

    /// Whether a thread of current's process has an alternate signal stack of less than `bytes`.
    pub(crate) fn altstack_below(&self, bytes: u64) -> bool {
        // SAFETY: siglock keeps the list of threads as it is.
        unsafe { bindings::xfd_altstack_below(bytes as c_ulong) }
    }
}

impl Drop for Siglock {
    fn drop(&mut self) {
        // SAFETY: this guard holds it.
        unsafe { bindings::xfd_sigunlock_current() }
    }
}

/// Current is in this module's code, where it may sleep: unloading waits for it.
pub(crate) struct Counted(());

impl Counted {
    /// From now on.
    pub(crate) fn enter() -> Self {
        // SAFETY: adds one to a counter.
        unsafe { bindings::xfd_enter_counted() };
        Self(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // SAFETY: `enter` counted it. Unloading also waits for those who have just left.
        unsafe { bindings::xfd_leave_counted() }
    }
}

/// Runs `f` with interrupts on, in an exception that was entered with them off.
pub(crate) fn with_interrupts<T>(f: impl FnOnce() -> T) -> T {
    // SAFETY: the exception came from user mode, where interrupts are on.
    unsafe { bindings::xfd_irq_enable() };
    let result = f();
    // SAFETY: back to what the exit path expects.
    unsafe { bindings::xfd_irq_disable() };
    result
}
