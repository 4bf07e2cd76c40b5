// SPDX-License-Identifier: GPL-2.0
//! XFD's two MSRs (SDM vol. 1, 13.14; vol. 4, table 2-2).

use core::arch::asm;

/// The components whose use raises #NM.
const IA32_XFD: u32 = 0x1c4;
/// The components that raised the last such #NM.
const IA32_XFD_ERR: u32 = 0x1c5;

/// # Safety
///
/// The CPU must have the register.
#[inline(always)]
unsafe fn read(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: RDMSR of an existing register at CPL 0 has no effect on memory. The caller guarantees
    // that the register exists.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high,
             options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// # Safety
///
/// The CPU must have the register, and `value` must not set any of its reserved bits.
#[inline(always)]
unsafe fn write(msr: u32, value: u64) {
    // SAFETY: the caller guarantees the register and the value. This is not `nomem`: IA32_XFD
    // determines what XSAVE and XRSTOR do to memory, so accesses must not move across the write.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack, preserves_flags));
    }
}

/// Reads IA32_XFD_ERR. entry.c calls this before irqentry_enter(), so it must not call anything and
/// is placed in a section that cannot be probed or traced. Interrupts off.
#[cfg(MODULE)]
#[no_mangle]
#[link_section = ".noinstr.text"]
extern "C" fn xfd_read_xfd_err() -> u64 {
    // SAFETY: the entry is only installed on a CPU with XFD (xfd_main.rs).
    unsafe { read(IA32_XFD_ERR) }
}

/// The components that raised the last #NM on this CPU.
pub(crate) fn xfd_err() -> u64 {
    // SAFETY: the module only loads on a CPU with XFD.
    unsafe { read(IA32_XFD_ERR) }
}

/// Clears IA32_XFD_ERR. Interrupts must be off, so that nobody else mistakes the value for theirs.
pub(crate) fn clear_xfd_err() {
    // SAFETY: the module only loads on a CPU with XFD. Zero sets no reserved bit.
    unsafe { write(IA32_XFD_ERR, 0) }
}

/// The components that are armed on this CPU.
pub(crate) fn xfd() -> u64 {
    // SAFETY: the module only loads on a CPU with XFD.
    unsafe { read(IA32_XFD) }
}

/// Arms exactly the components in `value` on this CPU. The caller updates the per-CPU copy.
///
/// # Safety
///
/// Preemption is off, and `value` has only components that CPUID allows to be armed.
pub(crate) unsafe fn write_xfd(value: u64) {
    // SAFETY: the module only loads on a CPU with XFD. The caller guarantees the bits.
    unsafe { write(IA32_XFD, value) }
}
