// SPDX-License-Identifier: GPL-2.0
//! The only tile instruction that the module uses itself.

use core::arch::asm;

/// Puts the configuration and the data of the tiles into their initial state (TILERELEASE, which
/// never raises #NM).
///
/// # Safety
///
/// Nobody needs the contents of the tiles. The CPU has AMX, and XCR0 has it enabled.
pub(crate) unsafe fn release() {
    // SAFETY: the caller guarantees that the registers may be cleared. No memory is accessed. The
    // instruction is spelled in bytes because rustc's assembler has no AMX for the kernel target.
    unsafe {
        asm!(
            ".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0",
            options(nostack, preserves_flags)
        )
    };
}
