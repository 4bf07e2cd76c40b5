// SPDX-License-Identifier: GPL-2.0
//! Guards for the kernel's locks around extended state.

use super::bindings;
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

/// The FPU registers and current's fpstate: no preemption, no softirq
/// (arch/x86/include/asm/fpu/api.h:52).
pub(crate) struct Fpregs(PhantomData<*const ()>);

impl Fpregs {
    /// Takes the registers. Interrupts must be on.
    pub(crate) fn lock() -> Self {
        // SAFETY: task context.
        unsafe { bindings::xfd_fpregs_lock() };
        Self(PhantomData)
    }

    /// Takes the registers; what they hold of current is saved in its fpstate then. Interrupts
    /// must be on.
    pub(crate) fn lock_saved() -> Self {
        // SAFETY: the gate is bound; task context.
        unsafe { bindings::xfd_gate_fpregs_lock_and_save() };
        Self(PhantomData)
    }

    /// Gives them back loaded from `state`, or as they are if it is NULL; this CPU has current's
    /// registers then.
    ///
    /// # Safety
    ///
    /// `state` is current's fpstate; what the registers held is saved.
    pub(crate) unsafe fn unlock_loaded(self, state: *mut kernel::bindings::fpstate) {
        core::mem::forget(self);
        // SAFETY: the gates are bound, the guard was held, and the caller vouches for `state`.
        unsafe { bindings::xfd_gate_fpregs_restore_and_unlock(state.cast()) }
    }

    /// Whether current's register contents are in its fpstate and not in the CPU.
    pub(crate) fn in_memory(&self) -> bool {
        // SAFETY: reads a flag of current.
        unsafe { bindings::xfd_fpregs_in_memory() }
    }

    /// Brings current's register contents into the CPU, with its XFD value.
    pub(crate) fn load(&self) {
        if self.in_memory() {
            // SAFETY: the gate is bound, current is a user task, and the guard is held.
            unsafe { bindings::xfd_gate_load_fpregs() }
        }
    }

    /// Says that current's register contents are in its fpstate, whatever the CPU holds.
    pub(crate) fn mark_in_memory(&self) {
        // SAFETY: sets a flag of current.
        unsafe { bindings::xfd_set_fpregs_in_memory() }
    }
}

impl Drop for Fpregs {
    fn drop(&mut self) {
        // SAFETY: this guard holds them.
        unsafe { bindings::xfd_fpregs_unlock() }
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
