// SPDX-License-Identifier: GPL-2.0
//! Work with known counts.
#![expect(unsafe_code, reason = "inline assembly")]

use crate::tile::{self, Tiles};
use std::arch::asm;

/// Bytes in an XSAVE area with header and tile data.
#[repr(C, align(64))]
struct Area([u8; 12 << 10]);

/// Exactly 1,000 instructions, plus overhead.
pub fn thousand() {
    // SAFETY: NOPs have no effect.
    unsafe { asm!(".rept 1000", "nop", ".endr", options(nomem, nostack)) };
}

/// One instruction that stores to all of `to`.
pub fn fill(to: &mut [u8]) {
    // SAFETY: writes exactly `to`; the direction flag is clear, as everywhere (System V ABI).
    unsafe {
        asm!("rep stosb", inout("rcx") to.len() => _, inout("rdi") to.as_mut_ptr() => _, in("al") 7_u8,
             options(nostack, preserves_flags));
    }
}

/// One instruction that copies all of `from`.
///
/// # Panics
///
/// The lengths differ.
pub fn copy(from: &[u8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: reads exactly `from` and writes exactly `to`; they do not overlap.
    unsafe {
        asm!("rep movsb", inout("rcx") to.len() => _, inout("rdi") to.as_mut_ptr() => _,
             inout("rsi") from.as_ptr() => _, options(nostack, preserves_flags));
    }
}

/// Saves eight live tiles, 8,192 bytes, and restores them, once each; `between` runs before, between
/// and after the two.
pub fn save_and_restore(mut between: impl FnMut()) {
    let mut area = Box::new(Area([0; 12 << 10]));
    let mut tiles = Tiles::configure();
    tiles.load_all(&tile::content(1));
    let at: *mut u8 = area.0.as_mut_ptr();
    between();
    // SAFETY: XSAVE of component 18 alone writes the header and, at its offset of 2,816 bytes, the 8,192
    // bytes of TILEDATA: all in `area` (CPUID 0DH). The header was zero.
    unsafe { asm!("xsave64 [{}]", in(reg) at, in("eax") 1 << 18, in("edx") 0, options(nostack)) };
    between();
    // SAFETY: the area holds what XSAVE wrote, and the compiler does not use tiles.
    unsafe { asm!("xrstor64 [{}]", in(reg) at, in("eax") 1 << 18, in("edx") 0, options(nostack)) };
    between();
    drop(tiles);
}
