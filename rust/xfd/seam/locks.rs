// SPDX-License-Identifier: GPL-2.0
//! Guards for the lock of a process's permissions, the count of tasks in the module, and
//! interrupts.

use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// `current->sighand->siglock` is held, with interrupts off. It protects the process's permissions.
pub(crate) struct Siglock(PhantomData<*const ()>);

impl Siglock {
    /// Takes the lock. Interrupts must be on, because dropping the guard turns them on. Sleeps only
    /// on PREEMPT_RT.
    pub(crate) fn lock() -> Self {
        // SAFETY: a running user task has a sighand until it exits.
        unsafe { bindings::xfd_siglock_current() };
        Self(PhantomData)
    }

    /// Whether a thread of current's process has an alternate signal stack smaller than `bytes`.
    pub(crate) fn altstack_below(&self, bytes: u64) -> bool {
        // SAFETY: siglock is held, so the list of threads does not change.
        unsafe { bindings::xfd_altstack_below(bytes as c_ulong) }
    }
}

impl Drop for Siglock {
    fn drop(&mut self) {
        // SAFETY: this guard holds the lock.
        unsafe { bindings::xfd_sigunlock_current() }
    }
}

/// Runs `f` with interrupts on, in an exception that was entered with interrupts off.
pub(crate) fn with_interrupts<T>(f: impl FnOnce() -> T) -> T {
    // SAFETY: the exception came from user mode, where interrupts are on.
    unsafe { bindings::xfd_irq_enable() };
    let result = f();
    // SAFETY: the exit path expects interrupts off, as on entry.
    unsafe { bindings::xfd_irq_disable() };
    result
}
