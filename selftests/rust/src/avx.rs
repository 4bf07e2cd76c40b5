// SPDX-License-Identifier: GPL-2.0
//! The calling thread's other registers while it sleeps: AVX and MXCSR.
#![expect(unsafe_code, reason = "inline assembly")]

use std::arch::asm;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes in a register.
pub const BYTES: usize = 32;

/// The contents of YMM0 to YMM15.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct Ymm(pub [[u8; BYTES]; 16]);

/// The value at program start, but rounding to zero.
pub const MXCSR: u32 = 0x7f80;

/// The value at program start.
pub const INITIAL_MXCSR: u32 = 0x1f80;

/// The calling thread's MXCSR.
#[must_use]
pub fn mxcsr() -> u32 {
    let mut value = 0_u32;
    // SAFETY: writes only `value`.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack)) };
    value
}

/// Loads [`MXCSR`] into the register, for a program about to exec that does no more arithmetic.
pub fn round_to_zero() {
    // SAFETY: reads only `MXCSR`; all exceptions stay masked.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &MXCSR, options(nostack, readonly)) };
}

impl Ymm {
    /// Contents that differ for each number.
    #[must_use]
    pub fn filled(number: u8) -> Self {
        Ymm(std::array::from_fn(|register| {
            std::array::from_fn(|i| {
                number
                    .wrapping_mul(101)
                    .wrapping_add((register * 37 + i) as u8)
                    | 1
            })
        }))
    }
}

/// Reads one byte, sleeping until one arrives, with `before` in the registers and [`MXCSR`] in MXCSR. Returns
/// the registers afterwards.
///
/// # Errors
///
/// Errors from read; end of file.
pub fn read_with(from: BorrowedFd, before: &Ymm) -> Result<Ymm> {
    let (mut after, mut byte, mut mxcsr) = (Ymm([[0; BYTES]; 16]), 0_u8, [0_u32, MXCSR]);
    let mut result = libc::SYS_read;
    // SAFETY: reads `before`, writes one byte, `after` and `mxcsr`, and leaves MXCSR as it was. All changed
    // registers are declared as clobbered.
    unsafe {
        asm!(
            "stmxcsr [{mxcsr}]",
            "ldmxcsr [{mxcsr} + 4]",
            ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
            "vmovdqa ymm\\r, [{before} + \\r*32]",
            ".endr",
            "syscall",
            ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
            "vmovdqa [{after} + \\r*32], ymm\\r",
            ".endr",
            "stmxcsr [{mxcsr} + 4]",
            "ldmxcsr [{mxcsr}]",
            "vzeroupper",
            before = in(reg) before, after = in(reg) &raw mut after, mxcsr = in(reg) &raw mut mxcsr,
            inlateout("rax") result, in("rdi") i64::from(from.as_raw_fd()), in("rsi") &raw mut byte,
            in("rdx") 1_i64, out("rcx") _, out("r11") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack),
        );
    }
    match result {
        1 if mxcsr[1] == MXCSR => Ok(after),
        1 => Err(Error::other(format!("MXCSR is {:#x}", mxcsr[1]))),
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Err(Error::from_raw_os_error(-result as i32)),
    }
}
