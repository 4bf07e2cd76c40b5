// SPDX-License-Identifier: GPL-2.0
//! Runs a program, and records what determines whether its threads can use tiles: what they ask for, their alternate
//! signal stacks, and their exceptions.
//!
//! It is traced with `PTRACE_SEIZE`: job control can stop it, and processes that outlive it continue untraced.

use super::tracee::Fault;
use super::tracer::Tracer;
use anyhow::{bail, Context};
use nix::libc::{self, c_int};
use nix::unistd::{execvp, fork, ForkResult};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with this status.
    Exited(c_int),
    /// This signal killed it.
    Killed(c_int),
}

/// An alternate signal stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltStack {
    /// Its lowest address.
    pub start: u64,
    /// Its size.
    pub bytes: u64,
}

/// An alternate signal stack that is too small, and its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallStack {
    /// The thread.
    pub tid: i32,
    /// The thread's name.
    pub thread: String,
    /// The size of the stack.
    pub bytes: u64,
}

/// `ARCH_REQ_XCOMP_PERM` or `ARCH_REQ_XCOMP_GUEST_PERM` for tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whether it is for virtual CPUs.
    pub for_guests: bool,
    /// The errno, or 0.
    pub errno: c_int,
    /// Whether the process has since executed another program, which revokes the permission.
    pub void: bool,
    /// With ENOSPC: the smallest alternate stack at that time, if sigaltstack(2) was observed.
    pub stack: Option<SmallStack>,
}

/// What was observed of a process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its requests, and those of its ancestors: a child inherits permission.
    pub requests: Vec<Request>,
    /// The alternate signal stacks of its threads, by thread.
    pub altstacks: BTreeMap<i32, AltStack>,
    /// Whether it has a seccomp filter.
    pub filtered: bool,
    /// The last exception.
    pub fault: Option<Fault>,
    /// The last exception that led to SIGILL.
    pub illegal: Option<Fault>,
    /// Whether a request for tiles has not returned.
    pub asking: bool,
}

/// A process that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its process ID.
    pub pid: i32,
    /// How it ended.
    pub end: End,
    /// What was observed of it.
    pub process: Process,
}

/// A program's run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its name.
    pub program: String,
    /// The program itself.
    pub main: Ended,
    /// Processes that it started and that ended before it.
    pub others: Vec<Ended>,
    /// Whether the kernel does not report system calls (it is older than 5.3).
    pub blind: bool,
}

/// Runs a program to completion. Its output goes to our standard output, or with `quiet` to standard error. Its threads
/// and processes are stopped at each system call.
///
/// # Errors
///
/// Fails if it cannot be executed or traced.
pub fn run(program: &OsStr, args: &[OsString], quiet: bool) -> anyhow::Result<Trace> {
    let name = program.to_string_lossy().into_owned();
    let words = std::iter::once(program).chain(args.iter().map(OsString::as_os_str));
    let words: Vec<CString> = words.map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
    // SAFETY: this process has one thread.
    let main = match unsafe { fork() }? {
        ForkResult::Parent { child } => child.as_raw(),
        ForkResult::Child => become_it(&words, quiet),
    };
    // Ctrl-C is for the program: we explain how it ends.
    let _signals = [libc::SIGINT, libc::SIGQUIT].map(Ignored::now);
    let mut tracer = Tracer::default();
    let followed = tracer.seize(main).and_then(|()| tracer.follow(main));
    if let Err(error) = followed {
        // SAFETY: `main` is a child that has not been waited for.
        unsafe { libc::kill(main, libc::SIGKILL) };
        return Err(error).with_context(|| format!("{name} cannot be traced (ptrace)"));
    }
    let Some(main) = tracer.ended.pop() else { bail!("{name} was lost") };
    if let (End::Exited(errno), false) = (main.end, tracer.executed) {
        bail!(
            "cannot run {name}: {}; name a file that can be executed, or a command in PATH",
            io::Error::from_raw_os_error(errno)
        );
    }
    Ok(Trace { program: name, main, others: tracer.ended, blind: tracer.blind })
}

/// The child's side: waits until it is traced, then executes the program.
fn become_it(words: &[CString], quiet: bool) -> ! {
    // SAFETY: SIG_DFL runs no code, and raise() affects only this process. Rust ignores SIGPIPE, which programs do not
    // expect.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::raise(libc::SIGSTOP);
    }
    if quiet {
        // SAFETY: nothing else in this process uses standard output.
        unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) };
    }
    let Err(error) = execvp(&words[0], words);
    // SAFETY: the call ends this process immediately.
    unsafe { libc::_exit(error as c_int) }
}

/// A signal that is ignored until this is dropped.
struct Ignored {
    signal: c_int,
    before: libc::sighandler_t,
}

impl Ignored {
    fn now(signal: c_int) -> Self {
        // SAFETY: SIG_IGN runs no code.
        Self { signal, before: unsafe { libc::signal(signal, libc::SIG_IGN) } }
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        // SAFETY: this restores the previous handler.
        unsafe { libc::signal(self.signal, self.before) };
    }
}
