// SPDX-License-Identifier: GPL-2.0
//! The two registers of XFD (SDM vol. 1, 13.14; vol. 4, table 2-2).

use core::arch::asm;

/// Components whose use raises #NM.
const IA32_XFD: u32 = 0x1c4;
/// Components that raised the last such #NM.
const IA32_XFD_ERR: u32 = 0x1c5;

/// # Safety
///
/// The CPU must have the register.
#[inline(always)]
unsafe fn read(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: RDMSR of an existing register at CPL 0 reads no memory; the caller vouches for its
    // existence.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high,
             options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// # Safety
///
/// The CPU must have the register, and `value` set none of its reserved bits.
#[inline(always)]
unsafe fn write(msr: u32, value: u64) {
    // SAFETY: the caller vouches for register and value. Not `nomem`: a write of IA32_XFD decides
    // what the XSAVE and XRSTOR around it do to memory, so memory accesses stay on their side.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack, preserves_flags));
    }
}

/// Reads IA32_XFD_ERR. Called from entry.c before the kernel knows that it was entered, so it
/// calls nothing and is kept out of reach of probes and tracers.
#[no_mangle]
#[link_section = ".noinstr.text"]
extern "C" fn xfd_read_xfd_err() -> u64 {
    // SAFETY: the entry is installed only on CPUs with XFD (xfd_main.rs).
    unsafe { read(IA32_XFD_ERR) }
}

/// The components that raised the last #NM of this CPU.
pub(crate) fn xfd_err() -> u64 {
    // SAFETY: as in `xfd_read_xfd_err`.
    unsafe { read(IA32_XFD_ERR) }
}

/// Writes zero to IA32_XFD_ERR. Interrupts off: nobody else may take the report for his own.
pub(crate) fn clear_xfd_err() {
    // SAFETY: the module runs only on CPUs with XFD; zero sets no reserved bit.
    unsafe { write(IA32_XFD_ERR, 0) }
}

/// This CPU's armed components.
pub(crate) fn xfd() -> u64 {
    // SAFETY: the module runs only on CPUs with XFD.
    unsafe { read(IA32_XFD) }
}

/// Arms exactly the components of `value` on this CPU; the per-CPU copy is `percpu`'s business.
///
/// # Safety
///
/// Preemption off, and `value` of components that CPUID allows to be armed.
pub(crate) unsafe fn write_xfd(value: u64) {
    // SAFETY: the module runs only on CPUs with XFD; the caller vouches for the bits.
    unsafe { write(IA32_XFD, value) }
}
