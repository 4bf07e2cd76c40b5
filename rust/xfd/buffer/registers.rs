// SPDX-License-Identifier: GPL-2.0
//! Whose registers this CPU has, and the only writer of IA32_XFD.
//!
//! | TIF_NEED_FPU_LOAD | registers of this CPU | current's contents |
//! | --- | --- | --- |
//! | clear | current's | in the registers |
//! | set | another task's, or nobody's | in its fpstate |
//!
//! The context switch writes IA32_XFD when it loads a task's registers, and only then: a task whose
//! registers are still in the CPU when its turn comes again is not looked at. So whoever writes the
//! register while it is another task's gives that task a wrong XFD, with which it loses its tiles or
//! uses them without permission. Writing takes an [`Owned`], which is to be had only where the
//! registers are current's or nobody's. Everybody else changes the fpstate, and says that the
//! registers must be loaded from it ([`invalidate_fpregs`]).

use crate::bindings::{self, fpstate, fpu};
use crate::cpu::msr;
use crate::seam::kernel::kernel;
use crate::xstate::arming;
use crate::xstate::xfeature::Xfeatures;
use core::marker::PhantomData;
use kernel::prelude::*;

/// The FPU registers and current's fpstate: no preemption, no softirq
/// (arch/x86/include/asm/fpu/api.h:52).
pub(crate) struct Fpregs(PhantomData<*const ()>);

/// The registers of this CPU are current's, or nobody's, as long as this lives.
pub(crate) struct Owned<'a>(PhantomData<&'a Fpregs>);

impl Fpregs {
    /// Takes the registers. Task context, interrupts on.
    pub(crate) fn lock() -> Self {
        // SAFETY: task context.
        unsafe { bindings::xfd_fpregs_lock() };
        Self(PhantomData)
    }

    /// The registers, if they are current's.
    pub(crate) fn owned(&self) -> Option<Owned<'_>> {
        // SAFETY: reads a flag of current.
        let in_memory = unsafe { bindings::xfd_fpregs_in_memory() };
        (!in_memory).then_some(Owned(PhantomData))
    }

    /// Brings current's register contents into the CPU, with its XFD value.
    pub(crate) fn load(&self) -> Owned<'_> {
        if self.owned().is_none() {
            // SAFETY: the gate is bound, current is a user task, and the guard is held.
            unsafe { bindings::xfd_gate_load_fpregs() }
        }
        Owned(PhantomData)
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

impl Owned<'_> {
    /// Brings IA32_XFD and its per-CPU copy to `wanted`; writes only if they differ, as
    /// `xfd_update_state()` (arch/x86/kernel/fpu/xstate.h:189).
    ///
    /// # Safety
    ///
    /// `wanted` is what an fpstate may say: of components that CPUID allows to be armed.
    pub(crate) unsafe fn arm(&self, wanted: Xfeatures) {
        let copy = Xfeatures::from_bits(kernel().xfd_state.get());
        if let Some(value) = arming::write_needed(copy, wanted) {
            // SAFETY: the caller vouches for it.
            unsafe { self.write(value) }
        }
    }

    /// The same, whatever the copy says.
    ///
    /// # Safety
    ///
    /// As for [`Self::arm`].
    pub(crate) unsafe fn write(&self, wanted: Xfeatures) {
        // SAFETY: preemption is off, and the registers are ours; the caller vouches for the value.
        unsafe {
            msr::write_xfd(wanted.bits());
            kernel().xfd_state.set(wanted.bits());
        }
    }
}

/// The kernel's own FPU section: current's registers are saved, and what is in the CPU is nobody's.
/// Preemption and soft interrupts are off.
pub(crate) struct KernelFpu(PhantomData<*const ()>);

impl KernelFpu {
    /// Begins it, as kernel_fpu_begin() does.
    ///
    /// Errors: EBUSY in a hard interrupt or NMI, or if the kernel has the FPU registers already.
    pub(crate) fn begin() -> Result<Self> {
        // SAFETY: any context.
        kernel::error::to_result(unsafe { bindings::xfd_kernel_fpu_begin() })?;
        Ok(Self(PhantomData))
    }

    /// What [`Self::begin`] began and [`core::mem::forget`] did not end.
    ///
    /// # Safety
    ///
    /// There is such a section on this CPU.
    pub(crate) unsafe fn begun() -> Self {
        Self(PhantomData)
    }

    /// The registers.
    pub(crate) fn owned(&self) -> Owned<'_> {
        Owned(PhantomData)
    }
}

impl Drop for KernelFpu {
    fn drop(&mut self) {
        // SAFETY: `begin` began it, on this CPU.
        unsafe { bindings::xfd_kernel_fpu_end() }
    }
}

/// What this CPU's IA32_XFD was last written to. Preemption off.
pub(crate) fn armed_here() -> Xfeatures {
    Xfeatures::from_bits(kernel().xfd_state.get())
}

/// Makes the per-CPU copy what the register holds: only while nobody else runs, and interrupts are
/// off (resume.rs).
pub(crate) fn sync_xfd_state() {
    // SAFETY: the copy says what the register holds; no preemption with interrupts off.
    unsafe { kernel().xfd_state.set(msr::xfd()) }
}

/// The registers of no CPU are those of `fpu` any more: they are loaded from its fpstate, with its
/// XFD, before its task uses them again.
///
/// # Safety
///
/// `fpu` is a task's that is current, with [`Fpregs`] held, or that is held off the CPU; the contents
/// are in its fpstate.
pub(crate) unsafe fn invalidate_fpregs(fpu: *mut fpu) {
    // SAFETY: the caller vouches for it.
    unsafe { (*fpu).last_cpu = u32::MAX }
}

/// XSTATE_BV of a register image: what was in use when it was saved.
///
/// # Safety
///
/// `state` points to an fpstate.
pub(crate) unsafe fn xstate_bv(state: *const fpstate) -> *mut u64 {
    // SAFETY: within the fpstate: every register image has the header.
    unsafe { state.byte_add(bindings::XFD_FPSTATE_XSTATE_BV as usize) }
        .cast_mut()
        .cast()
}
