// SPDX-License-Identifier: GPL-2.0
//! The calling thread's alternate signal stack, which a permission depends on.
#![allow(unsafe_code)]

use anyhow::ensure;
use std::{io, mem, ptr};

/// Bytes of the largest signal frame of this kernel (AT_MINSIGSTKSZ, asm/auxvec.h).
#[must_use]
pub fn largest_frame() -> usize {
    // SAFETY: only reads what the kernel gave the program at its start.
    unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) as usize }
}

/// Runs `work` with an alternate signal stack of `bytes`, and puts the former one back.
///
/// # Errors
///
/// What `sigaltstack` says: ENOMEM for less than 2,048 bytes.
pub fn with<T>(bytes: usize, work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let mut memory = vec![0_u8; bytes];
    let stack = libc::stack_t {
        ss_sp: memory.as_mut_ptr().cast(),
        ss_flags: 0,
        ss_size: bytes,
    };
    // SAFETY: all zeros is a valid stack_t.
    let mut former: libc::stack_t = unsafe { mem::zeroed() };
    // SAFETY: both structures outlive the call, and `memory` the time it is the stack.
    let set = unsafe { libc::sigaltstack(&raw const stack, &raw mut former) };
    ensure!(set == 0, "sigaltstack: {}", io::Error::last_os_error());
    let result = work();
    // SAFETY: `former` is what the kernel itself returned; `memory` is unused from here on.
    let back = unsafe { libc::sigaltstack(&raw const former, ptr::null_mut()) };
    ensure!(
        back == 0,
        "sigaltstack back: {}",
        io::Error::last_os_error()
    );
    Ok(result)
}
