// SPDX-License-Identifier: GPL-2.0
//! The only tile instruction that the module itself executes.

use core::arch::asm;

/// Puts the tile configuration and tile data into their initial state (TILERELEASE, which never
/// raises #NM).
///
/// # Safety
///
/// Nobody needs the contents of the tiles. The CPU has AMX, and it is enabled in XCR0.
pub(crate) unsafe fn release() {
    // SAFETY: the caller guarantees that the registers may be cleared. No memory is accessed. The
    // instruction is encoded as bytes because rustc's assembler does not support AMX on the kernel
    // target.
    unsafe {
        asm!(
            ".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0",
            options(nostack, preserves_flags)
        )
    };
}
