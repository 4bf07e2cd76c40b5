// SPDX-License-Identifier: GPL-2.0
//! Executes a program where something that AMX needs is forbidden (`amx_confined WHERE PROGRAM ARGS`).

use clap::{Parser, ValueEnum};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;
use xfd_selftests::seccomp::{forbid, Fate};

/// Executes a program where something is forbidden.
#[derive(Parser)]
struct Arguments {
    /// What is forbidden
    #[arg(value_enum)]
    place: Place,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Place {
    /// A filter does not know arch_prctl's tile options, and answers ENOSYS
    UnknownCalls,
    /// A filter fails requests for tiles with EPERM
    NoPermission,
    /// A filter kills processes that ask for tiles
    NoMercy,
    /// arch_prctl behaves as before Linux 5.16
    OldKernel,
    /// arch_prctl behaves as before Linux 5.17
    NoGuests,
    /// ptrace behaves as before Linux 5.3
    OldPtrace,
    /// No process may be traced
    NoPtrace,
}

fn main() -> anyhow::Result<()> {
    const SUPPORTED: u32 = 0x1021;
    const REQUEST: u32 = 0x1023;
    const GUESTS: u32 = 0x1024;
    const LAST: u32 = 0x1025;
    const SYSCALL_INFO: u32 = 0x420e;
    let prctl = libc::SYS_arch_prctl;
    let ptrace = libc::SYS_ptrace;
    let arguments = Arguments::parse();
    match arguments.place {
        Place::UnknownCalls => forbid(prctl, SUPPORTED..=LAST, Fate::Errno(libc::ENOSYS)),
        Place::NoPermission => forbid(prctl, REQUEST..=REQUEST, Fate::Errno(libc::EPERM)),
        Place::NoMercy => forbid(prctl, REQUEST..=REQUEST, Fate::Killed),
        Place::OldKernel => forbid(prctl, SUPPORTED..=LAST, Fate::Errno(libc::EINVAL)),
        Place::NoGuests => forbid(prctl, GUESTS..=LAST, Fate::Errno(libc::EINVAL)),
        Place::OldPtrace => forbid(ptrace, SYSCALL_INFO..=SYSCALL_INFO, Fate::Errno(libc::EIO)),
        Place::NoPtrace => forbid(ptrace, 0..=u32::MAX, Fate::Errno(libc::EPERM)),
    }?;
    let [program, args @ ..] = arguments.program.as_slice() else {
        unreachable!("clap requires it")
    };
    Err(Command::new(program).args(args).exec().into())
}
