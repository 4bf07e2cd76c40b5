// SPDX-License-Identifier: GPL-2.0
//! A program that runs while events are read. It waits until it is told to begin, so that none of its events are
//! missed.

use crate::signals::Signals;
use anyhow::{bail, Context};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{execvp, fork, pipe2, read, ForkResult, Pid};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// Exit statuses as in env(1) and timeout(1). This one: xfdctl itself failed.
pub const FAILED: u8 = 125;
/// The program cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
const NOT_FOUND: u8 = 127;
/// Added to the number of the signal that killed the program.
const KILLED: i32 = 128;

/// A program. When this is dropped, the program is killed if it has not begun; otherwise it keeps running.
pub struct Program {
    name: String,
    child: Pid,
    begin: Option<File>,
    failed: File,
    ends: OwnedFd,
    ended: Option<i32>,
}

/// The program cannot be run.
#[derive(Debug)]
pub struct CannotRun {
    what: String,
    /// The exit status for it.
    pub status: u8,
}

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for CannotRun {}

impl Program {
    /// Creates a process for `words`, which waits to begin. With `quiet` its output goes to standard error.
    ///
    /// # Errors
    ///
    /// Fails if the process cannot be created or a word contains a NUL.
    pub fn prepare(words: &[OsString], quiet: bool, signals: &Signals) -> anyhow::Result<Option<Self>> {
        let Some(name) = words.first().map(|name| name.to_string_lossy().into_owned()) else { return Ok(None) };
        let words: Vec<CString> = words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
        let (hears, begin) = pipe2(OFlag::O_CLOEXEC)?;
        let (failed, fails) = pipe2(OFlag::O_CLOEXEC)?;
        let mask = signals.before();
        // SAFETY: SIG_DFL runs no code. If SIGCHLD were ignored, the kernel would reap the child itself.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        // SAFETY: the child only makes system calls until it executes the program, or ends.
        let child = match unsafe { fork() }.context("cannot create a process")? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop(begin);
                become_it(&words, quiet, &mask, &hears, &fails)
            }
        };
        signals.leave_terminal();
        let ends = pidfd(child).context("cannot watch the program (this needs Linux 5.3)")?;
        Ok(Some(Self { name, child, begin: Some(begin.into()), failed: failed.into(), ends, ended: None }))
    }

    /// Its process ID.
    pub fn pid(&self) -> i32 {
        self.child.as_raw()
    }

    /// Becomes readable when the program has ended.
    pub fn ends(&self) -> BorrowedFd<'_> {
        self.ends.as_fd()
    }

    /// Lets it begin.
    ///
    /// # Errors
    ///
    /// [`CannotRun`].
    pub fn begin(&mut self) -> anyhow::Result<()> {
        let Some(mut begin) = self.begin.take() else { bail!("{} has begun already", self.name) };
        // This fails if it is dead, which status() reports.
        let _ = begin.write_all(b"!");
        let mut errno = [0; 4];
        if self.failed.read_exact(&mut errno).is_err() {
            return Ok(());
        }
        let errno = Errno::from_raw(i32::from_ne_bytes(errno));
        let status = if errno == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE };
        Err(CannotRun { what: format!("cannot run {}: {}", self.name, errno.desc()), status }.into())
    }

    /// Its exit status, or 128 plus the number of the signal that killed it; `None` while it is running.
    ///
    /// # Errors
    ///
    /// Fails if a system call fails.
    pub fn status(&mut self) -> anyhow::Result<Option<u8>> {
        while self.ended.is_none() {
            match waitpid(self.child, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, status)) => self.ended = Some(status),
                Ok(WaitStatus::Signaled(_, signal, _)) => self.ended = Some(KILLED + signal as i32),
                Ok(WaitStatus::StillAlive) => return Ok(None),
                Ok(_) | Err(Errno::EINTR) => {}
                // nix does not know about real-time signals.
                Err(Errno::EINVAL) => self.ended = Some(KILLED),
                Err(error) => return Err(error).with_context(|| format!("cannot wait for {}", self.name)),
            }
        }
        Ok(self.ended.map(|status| u8::try_from(status).unwrap_or(FAILED)))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.begin.is_some() {
            let _ = kill(self.child, Signal::SIGKILL);
            let _ = waitpid(self.child, None);
        }
    }
}

/// `pidfd_open(2)`, which nix 0.30 lacks.
fn pidfd(child: Pid) -> std::io::Result<OwnedFd> {
    // SAFETY: the call creates a file descriptor, or fails.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0) };
    match RawFd::try_from(fd) {
        // SAFETY: it is new, and nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// The child's side: waits for the order to begin, then executes the program.
fn become_it(words: &[CString], quiet: bool, mask: &nix::sys::signal::SigSet, hears: &OwnedFd, fails: &OwnedFd) -> ! {
    let _ = mask.thread_set_mask();
    // SAFETY: SIG_DFL runs no code. Rust ignores SIGPIPE, which programs do not expect.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // At end of file the parent is gone.
    if matches!(read(hears, &mut [0]), Ok(1)) {
        if quiet {
            // SAFETY: nothing else in this process uses standard output.
            unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) };
        }
        let Err(error) = execvp(&words[0], words);
        let _ = nix::unistd::write(fails, &(error as i32).to_ne_bytes());
    }
    // SAFETY: the call ends this process immediately.
    unsafe { libc::_exit(NOT_FOUND.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::ENDING;

    fn run(words: &[&str]) -> anyhow::Result<u8> {
        let signals = Signals::hold(&ENDING)?;
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        let mut program = Program::prepare(&words, true, &signals)?.unwrap();
        assert_eq!(program.status()?, None);
        program.begin()?;
        end(&mut program, &signals)
    }

    fn end(program: &mut Program, signals: &Signals) -> anyhow::Result<u8> {
        loop {
            if let Some(status) = program.status()? {
                return Ok(status);
            }
            signals.wait(&[program.ends()], None)?;
        }
    }

    #[test]
    fn its_exit_status_is_reported() {
        assert_eq!(run(&["sh", "-c", "exit 7"]).unwrap(), 7);
        assert_eq!(run(&["sh", "-c", "kill -ILL $$"]).unwrap(), 132);
        let why = |words: &[&str]| run(words).unwrap_err().downcast::<CannotRun>().unwrap();
        assert_eq!(why(&["/no/such/program"]).to_string(), "cannot run /no/such/program: No such file or directory");
        assert_eq!((why(&["/no/such/program"]).status, why(&["/"]).status), (127, 126));
    }

    #[test]
    fn a_program_that_was_not_begun_never_runs() {
        let signals = Signals::hold(&ENDING).unwrap();
        let words = ["sh", "-c", "echo begun >&2"].map(OsString::from);
        let program = Program::prepare(&words, true, &signals).unwrap().unwrap();
        let pid = Pid::from_raw(program.pid());
        drop(program);
        assert_eq!(kill(pid, None), Err(Errno::ESRCH));
        assert!(Program::prepare(&[], true, &signals).unwrap().is_none());
        // The parent died before it gave the order to begin.
        let mut program = Program::prepare(&words, true, &signals).unwrap().unwrap();
        program.begin = None;
        assert_eq!(end(&mut program, &signals).unwrap(), NOT_FOUND);
    }
}
