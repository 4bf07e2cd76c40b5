// SPDX-License-Identifier: GPL-2.0
//! The one tile instruction of the module's own.

use core::arch::asm;

/// Brings configuration and data of the tiles into their initial state (TILERELEASE, which never
/// raises #NM).
///
/// # Safety
///
/// Nobody needs what the tiles hold; the CPU has AMX, and XCR0 its bits.
pub(crate) unsafe fn release() {
    // SAFETY: the caller vouches for the registers; no memory is read or written. In bytes, because
    // the assembler of rustc is told of no AMX in the kernel.
    unsafe {
        asm!(
            ".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0",
            options(nostack, preserves_flags)
        )
    };
}
