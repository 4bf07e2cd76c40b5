// SPDX-License-Identifier: GPL-2.0
//! Runs a program, and notes what decides whether its threads may use tiles: what they ask for, their alternate
//! signal stacks, and the exceptions that they meet.
//!
//! It is seized, not attached to: a stop by job control stays one, and who is left when it ends goes on untraced.

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
    /// By itself.
    Exited(c_int),
    /// By this signal.
    Killed(c_int),
}

/// An alternate signal stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltStack {
    /// Its lowest address.
    pub start: u64,
    /// How many there are.
    pub bytes: u64,
}

/// A thread, and its alternate signal stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallStack {
    /// The thread.
    pub tid: i32,
    /// Its name.
    pub thread: String,
    /// Of the stack.
    pub bytes: u64,
}

/// `ARCH_REQ_XCOMP_PERM` or `ARCH_REQ_XCOMP_GUEST_PERM` for tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// For virtual CPUs.
    pub for_guests: bool,
    /// 0, or the errno.
    pub errno: c_int,
    /// The process has executed another program since, which ends its permission.
    pub void: bool,
    /// With ENOSPC: whose alternate stack was the smallest then, if it was seen to be set.
    pub stack: Option<SmallStack>,
}

/// What was seen of a process.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its own, and those of who forked it: permission is handed on.
    pub requests: Vec<Request>,
    /// The alternate signal stacks of its threads, by thread.
    pub altstacks: BTreeMap<i32, AltStack>,
    /// It has a seccomp filter.
    pub filtered: bool,
    /// The last exception.
    pub fault: Option<Fault>,
    /// The last one of a kind that may be one of tiles.
    pub illegal: Option<Fault>,
    /// A request for tiles has not returned.
    pub asking: bool,
}

/// A process that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Which.
    pub pid: i32,
    /// How.
    pub end: End,
    /// What was seen of it.
    pub process: Process,
}

/// A program's run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its name.
    pub program: String,
    /// The program itself.
    pub main: Ended,
    /// Who it started, and ended before it.
    pub others: Vec<Ended>,
    /// The kernel does not say what system calls are made (it is older than 5.3).
    pub blind: bool,
}

/// Runs it to its end; its output goes to ours, or with `quiet` to where our errors go. Its threads and processes are stopped
/// at each system call.
///
/// # Errors
///
/// It cannot be executed, or not be traced.
pub fn run(program: &OsStr, args: &[OsString], quiet: bool) -> anyhow::Result<Trace> {
    let name = program.to_string_lossy().into_owned();
    let words = std::iter::once(program).chain(args.iter().map(OsString::as_os_str));
    let words: Vec<CString> = words.map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
    // SAFETY: this program has one thread.
    let main = match unsafe { fork() }? {
        ForkResult::Parent { child } => child.as_raw(),
        ForkResult::Child => become_it(&words, quiet),
    };
    // Whoever runs it wants to know how it ends, also if that is by Ctrl-C.
    let _signals = [libc::SIGINT, libc::SIGQUIT].map(Ignored::now);
    let mut tracer = Tracer::default();
    let followed = tracer.seize(main).and_then(|()| tracer.follow(main));
    if let Err(error) = followed {
        // SAFETY: a child that was not waited for.
        unsafe { libc::kill(main, libc::SIGKILL) };
        return Err(error).with_context(|| format!("{name} cannot be watched (ptrace)"));
    }
    let Some(main) = tracer.ended.pop() else { bail!("{name} has no end") };
    if let (End::Exited(errno), false) = (main.end, tracer.executed) {
        bail!(
            "cannot run {name}: {}; name a file that can be executed, or a command in PATH",
            io::Error::from_raw_os_error(errno)
        );
    }
    Ok(Trace { program: name, main, others: tracer.ended, blind: tracer.blind })
}

/// The child: it waits until it is traced.
fn become_it(words: &[CString], quiet: bool) -> ! {
    // SAFETY: single system calls, in a process of one thread. Rust ignores SIGPIPE; programs do not expect that.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::raise(libc::SIGSTOP);
    }
    if quiet {
        // SAFETY: standard output is nobody's in this process.
        unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) };
    }
    let Err(error) = execvp(&words[0], words);
    // SAFETY: ends this process at once.
    unsafe { libc::_exit(error as c_int) }
}

/// A signal that is ignored for a while.
struct Ignored {
    signal: c_int,
    before: libc::sighandler_t,
}

impl Ignored {
    fn now(signal: c_int) -> Self {
        // SAFETY: ignoring runs no code.
        Self { signal, before: unsafe { libc::signal(signal, libc::SIG_IGN) } }
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        // SAFETY: what was there before.
        unsafe { libc::signal(self.signal, self.before) };
    }
}
