// SPDX-License-Identifier: GPL-2.0
//! A per-CPU u64 of the kernel, reached through the GS segment as the kernel does itself.

use core::arch::asm;

/// A per-CPU `u64` by its link address (`DEFINE_PER_CPU` symbol); GS adds this CPU's offset.
#[derive(Clone, Copy)]
pub(crate) struct PerCpuU64(usize);

impl PerCpuU64 {
    /// # Safety
    ///
    /// `address` is the address of a per-CPU variable of type u64, and stays so.
    pub(crate) unsafe fn new(address: usize) -> Self {
        Self(address)
    }

    /// This CPU's value. Meaningful with preemption off only.
    pub(crate) fn get(self) -> u64 {
        let value;
        // SAFETY: `new` was promised a per-CPU u64; in the kernel GS is the per-CPU base.
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
    /// The variable is the caller's to write, with preemption off.
    pub(crate) unsafe fn set(self, value: u64) {
        // SAFETY: as in `get`; the caller may write it.
        unsafe {
            asm!("mov gs:[{}], {}", in(reg) self.0, in(reg) value,
                 options(nostack, preserves_flags));
        }
    }
}
