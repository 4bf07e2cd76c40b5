// SPDX-License-Identifier: GPL-2.0
//! The calling thread's alternate signal stack, which permission depends on.
#![expect(unsafe_code, reason = "sigaltstack()")]

use anyhow::ensure;
use std::{io, mem, ptr};

/// Size in bytes of this kernel's largest signal frame (AT_MINSIGSTKSZ, asm/auxvec.h).
#[must_use]
pub fn largest_frame() -> usize {
    // SAFETY: only reads the auxiliary vector, which the kernel passed to the program.
    unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) as usize }
}

/// Runs `work` with an alternate signal stack of `bytes` bytes, then restores the previous one.
///
/// # Errors
///
/// Errors from `sigaltstack`: ENOMEM below 2,048 bytes.
pub fn with<T>(bytes: usize, work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let mut memory = vec![0_u8; bytes];
    let stack = libc::stack_t {
        ss_sp: memory.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: bytes,
    };
    // SAFETY: all zeros is a valid stack_t.
    let mut former: libc::stack_t = unsafe { mem::zeroed() };
    // SAFETY: both structures outlive the call, and `memory` outlives its use as the stack.
    let set = unsafe { libc::sigaltstack(&raw const stack, &raw mut former) };
    ensure!(set == 0, "sigaltstack: {}", io::Error::last_os_error());
    let result = work();
    // SAFETY: `former` is what the kernel returned; `memory` is unused from here on.
    let back = unsafe { libc::sigaltstack(&raw const former, ptr::null_mut()) };
    ensure!(
        back == 0,
        "sigaltstack back: {}",
        io::Error::last_os_error()
    );
    Ok(result)
}
