// SPDX-License-Identifier: GPL-2.0
//! Tracks whose registers are in this CPU. The only code that writes IA32_XFD.
//!
//! | TIF_NEED_FPU_LOAD | registers in this CPU | current's contents |
//! | --- | --- | --- |
//! | clear | current's | in the registers |
//! | set | another task's, or nobody's | in its fpstate |
//!
//! IA32_XFD is written only when a task's registers are loaded. If they are still in the CPU when
//! the task runs again, the kernel does not check the MSR. So writing the MSR while another task's
//! registers are loaded would give that task a wrong XFD: it would lose its tiles, or use them
//! without permission. That is why writing requires an [`Owned`], which exists only where the
//! registers are current's or nobody's. All other code changes the fpstate and makes sure that the
//! registers are loaded from it ([`invalidate_fpregs`]).

use crate::bindings::{self, fpstate, fpu};
use crate::cpu::msr;
use crate::seam::calls;
use crate::seam::kernel::kernel;
use crate::xstate::arming;
use crate::xstate::xfeature::Xfeatures;
use core::marker::PhantomData;
#[cfg(MODULE)]
use kernel::prelude::*;

/// The FPU registers and current's fpstate are locked: preemption and softirqs are off
/// (arch/x86/include/asm/fpu/api.h:52).
pub(crate) struct Fpregs(PhantomData<*const ()>);

/// Proof that, while this exists, the registers in this CPU are current's or nobody's.
///
/// # Invariants
///
/// Preemption is off, and no other task's registers are loaded in this CPU.
pub(crate) struct Owned<'a>(PhantomData<&'a Fpregs>);

impl Fpregs {
    /// Locks the registers. Task context, interrupts on.
    pub(crate) fn lock() -> Self {
        // SAFETY: the caller is in task context.
        unsafe { bindings::xfd_fpregs_lock() };
        Self(PhantomData)
    }

    /// The registers, if they hold current's contents.
    pub(crate) fn owned(&self) -> Option<Owned<'_>> {
        // SAFETY: this only reads a flag of current.
        let in_memory = unsafe { bindings::xfd_fpregs_in_memory() };
        // INVARIANT: `self` keeps preemption off, and without the flag the registers are current's.
        (!in_memory).then_some(Owned(PhantomData))
    }

    /// Loads current's register contents into the CPU, together with its XFD value, unless they are
    /// already there.
    pub(crate) fn load(&self) -> Owned<'_> {
        if self.owned().is_none() {
            // SAFETY: current is a user task, and this guard is held.
            unsafe { calls::load_fpregs() }
        }
        // INVARIANT: `self` keeps preemption off, and the registers are current's now.
        Owned(PhantomData)
    }

    /// Marks current's register contents as being in its fpstate, regardless of what the CPU holds.
    pub(crate) fn mark_in_memory(&self) {
        // SAFETY: this only sets a flag of current.
        unsafe { bindings::xfd_set_fpregs_in_memory() }
    }
}

impl Drop for Fpregs {
    fn drop(&mut self) {
        // SAFETY: this guard holds the lock.
        unsafe { bindings::xfd_fpregs_unlock() }
    }
}

impl Owned<'_> {
    /// Sets IA32_XFD and its per-CPU copy to `wanted`. Writes only if the copy differs, like
    /// `xfd_update_state()` (arch/x86/kernel/fpu/xstate.h:189).
    ///
    /// # Safety
    ///
    /// `wanted` has only components that CPUID allows to be armed, as an fpstate's value does.
    pub(crate) unsafe fn arm(&self, wanted: Xfeatures) {
        let copy = Xfeatures::from_bits(kernel().xfd_state.get());
        if let Some(value) = arming::write_needed(copy, wanted) {
            // SAFETY: `write` has the same contract as this function.
            unsafe { self.write(value) }
        }
    }

    /// Like [`Self::arm`], but writes regardless of the copy's value.
    ///
    /// # Safety
    ///
    /// Same as for [`Self::arm`].
    pub(crate) unsafe fn write(&self, wanted: Xfeatures) {
        // SAFETY: by the type invariant preemption is off and the registers are current's or
        // nobody's. The caller guarantees the value.
        unsafe {
            msr::write_xfd(wanted.bits());
            kernel().xfd_state.set(wanted.bits());
        }
    }
}

/// A kernel FPU section: current's registers are saved, and the registers in the CPU belong to
/// nobody. Preemption and softirqs are off.
#[cfg(MODULE)]
pub(crate) struct KernelFpu(PhantomData<*const ()>);

#[cfg(MODULE)]
impl KernelFpu {
    /// Begins a section, like kernel_fpu_begin().
    ///
    /// Errors: EBUSY in a hard interrupt or an NMI, or if the kernel is already using the FPU
    /// registers.
    pub(crate) fn begin() -> Result<Self> {
        // SAFETY: this may be called in any context.
        kernel::error::to_result(unsafe { bindings::xfd_kernel_fpu_begin() })?;
        Ok(Self(PhantomData))
    }

    /// The section that [`Self::begin`] began and that [`core::mem::forget`] kept open.
    ///
    /// # Safety
    ///
    /// There is an open section on this CPU.
    pub(crate) unsafe fn begun() -> Self {
        Self(PhantomData)
    }

    /// The registers, which belong to nobody.
    pub(crate) fn owned(&self) -> Owned<'_> {
        // INVARIANT: in a section preemption is off, and current's registers have been saved.
        Owned(PhantomData)
    }
}

#[cfg(MODULE)]
impl Drop for KernelFpu {
    fn drop(&mut self) {
        // SAFETY: `begin` began the section on this CPU.
        unsafe { bindings::xfd_kernel_fpu_end() }
    }
}

/// The value last written to this CPU's IA32_XFD. Preemption must be off.
#[cfg(MODULE)]
pub(crate) fn armed_here() -> Xfeatures {
    Xfeatures::from_bits(kernel().xfd_state.get())
}

/// Sets the per-CPU copy to the value of IA32_XFD. Only one CPU is running, and interrupts are off
/// (resume.rs).
pub(crate) fn sync_xfd_state() {
    // SAFETY: with interrupts off there is no preemption, and the value is that of the MSR.
    unsafe { kernel().xfd_state.set(msr::xfd()) }
}

/// Makes sure that no CPU's registers count as those of `fpu`: before its task uses them again,
/// they are loaded from its fpstate, with its XFD. The kernel calls this
/// `__fpu_invalidate_fpregs_state()`.
///
/// # Safety
///
/// `fpu` belongs to current, with [`Fpregs`] held, or to a task that is held and is not running.
/// Its contents are in its fpstate.
pub(crate) unsafe fn invalidate_fpregs(fpu: *mut fpu) {
    // SAFETY: by this function's contract nobody else accesses the member.
    unsafe { (*fpu).last_cpu = u32::MAX }
}

/// XSTATE_BV of a register image: the components that were in use when it was saved.
///
/// # Safety
///
/// `state` points to an fpstate.
pub(crate) unsafe fn xstate_bv(state: *const fpstate) -> *mut u64 {
    // SAFETY: every register image has the header, so this lies within the fpstate.
    unsafe { state.byte_add(bindings::XFD_FPSTATE_XSTATE_BV as usize) }
        .cast_mut()
        .cast()
}
