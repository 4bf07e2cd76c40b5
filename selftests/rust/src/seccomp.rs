// SPDX-License-Identifier: GPL-2.0
//! Seccomp filters like those set by container runtimes: from now on a system call fails or kills.
#![expect(unsafe_code, reason = "seccomp filters by prctl()")]

use std::io;
use std::ops::RangeInclusive;

/// What happens to a filtered system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It fails with this errno.
    Errno(i32),
    /// It kills the process with SIGSYS.
    Killed,
}

/// From now on system call `number` meets this fate, in this process and in those it creates, if its first argument
/// is in `first`.
///
/// # Errors
///
/// The kernel's error, if no filter can be set.
pub fn forbid(number: libc::c_long, first: RangeInclusive<u32>, fate: Fate) -> io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const IF_FROM: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const IF_ABOVE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // Offset in struct seccomp_data of the first argument's low half.
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
    // SAFETY: both calls only restrict this process, and the filter lives until the kernel has copied it.
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
