// SPDX-License-Identifier: GPL-2.0
//! A kernel per-CPU u64, accessed through the GS segment as in the kernel's own code.

use core::arch::asm;

/// A per-CPU `u64`, as the link address of its `DEFINE_PER_CPU` symbol. GS adds this CPU's offset.
///
/// # Invariants
///
/// This is the address of a per-CPU variable of type u64 that is never freed.
#[derive(Clone, Copy)]
pub(crate) struct PerCpuU64(usize);

impl PerCpuU64 {
    /// # Safety
    ///
    /// `address` is the address of a per-CPU variable of type u64 that is never freed.
    pub(crate) unsafe fn new(address: usize) -> Self {
        // INVARIANT: by this function's contract.
        Self(address)
    }

    /// This CPU's value. Preemption must be off; otherwise the value may be another CPU's.
    pub(crate) fn get(self) -> u64 {
        let value;
        // SAFETY: by the type invariant this is a per-CPU u64. In the kernel, GS is the per-CPU
        // base.
        unsafe {
            asm!("mov {}, gs:[{}]", out(reg) value, in(reg) self.0,
                 options(readonly, nostack, preserves_flags));
        }
        value
    }

    /// Sets this CPU's value.
    ///
    /// # Safety
    ///
    /// Preemption is off, and the caller may write the variable.
    pub(crate) unsafe fn set(self, value: u64) {
        // SAFETY: by the type invariant this is a per-CPU u64, and the caller may write it.
        unsafe {
            asm!("mov gs:[{}], {}", in(reg) self.0, in(reg) value,
                 options(nostack, preserves_flags));
        }
    }
}
