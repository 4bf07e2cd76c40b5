// SPDX-License-Identifier: GPL-2.0
//! Seccomp filters, as container runtimes set them: a system call comes to something else from now on.
#![allow(unsafe_code)]

use std::io;
use std::ops::RangeInclusive;

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// This errno.
    Errno(i32),
    /// The end of the process, by SIGSYS.
    Killed,
}

/// That is what the system call `number` comes to for this process, and for those that it makes, if its first argument is
/// among `first`.
///
/// # Errors
///
/// The kernel's: no filter can be set.
pub fn forbid(number: libc::c_long, first: RangeInclusive<u32>, fate: Fate) -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const IF_FROM: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const IF_ABOVE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // struct seccomp_data: the low half of its first argument.
    const FIRST: u32 = 16;
    let action = match fate {
        Fate::Errno(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
        Fate::Killed => libc::SECCOMP_RET_KILL_PROCESS,
    };
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD, 0, 0, 0),
        step(IF_EQUAL, 0, 4, number as u32),
        step(LOAD, 0, 0, FIRST),
        step(IF_FROM, 0, 2, *first.start()),
        step(IF_ABOVE, 1, 0, *first.end()),
        step(RETURN, 0, 0, action),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: both only restrict this process; the filter is there until it was copied.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            ) == 0
    };
    done.then_some(()).ok_or_else(io::Error::last_os_error)
}
