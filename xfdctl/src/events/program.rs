// SPDX-License-Identifier: GPL-2.0
//! A program that is run meanwhile. It waits until it is told to begin, so that nothing of it is missed.

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

/// As env(1) and timeout(1) have it: xfdctl itself failed; it cannot be executed; there is none.
pub const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// Above it: the signal that it died of.
const KILLED: i32 = 128;

/// It is killed with this value if it has not begun, and goes on else.
pub struct Program {
    name: String,
    child: Pid,
    begin: Option<File>,
    failed: File,
    ends: OwnedFd,
    ended: Option<i32>,
}

/// It cannot be run.
#[derive(Debug)]
pub struct CannotRun {
    what: String,
    /// The exit status that says so.
    pub status: u8,
}

impl std::fmt::Display for CannotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for CannotRun {}

impl Program {
    /// A process for `words`, which waits. With `quiet` its output goes to where our errors go.
    ///
    /// # Errors
    ///
    /// There are no more processes; a word has a NUL.
    pub fn prepare(words: &[OsString], quiet: bool, signals: &Signals) -> anyhow::Result<Option<Self>> {
        let Some(name) = words.first().map(|name| name.to_string_lossy().into_owned()) else { return Ok(None) };
        let words: Vec<CString> = words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
        let (hears, begin) = pipe2(OFlag::O_CLOEXEC)?;
        let (failed, fails) = pipe2(OFlag::O_CLOEXEC)?;
        let mask = signals.before();
        // SAFETY: no handler. Where it is ignored, nobody can be waited for.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        // SAFETY: the child makes system calls only until it is another program, or ends.
        let child = match unsafe { fork() }.context("cannot make a process")? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop(begin);
                become_it(&words, quiet, &mask, &hears, &fails)
            }
        };
        signals.leave_terminal();
        let ends = pidfd(child).context("cannot watch the program (Linux 5.3 can)")?;
        Ok(Some(Self { name, child, begin: Some(begin.into()), failed: failed.into(), ends, ended: None }))
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.child.as_raw()
    }

    /// Can be read when it has ended.
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
        // It may be dead: then that is its end.
        let _ = begin.write_all(b"!");
        let mut errno = [0; 4];
        if self.failed.read_exact(&mut errno).is_err() {
            return Ok(());
        }
        let errno = Errno::from_raw(i32::from_ne_bytes(errno));
        let status = if errno == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE };
        Err(CannotRun { what: format!("cannot run {}: {}", self.name, errno.desc()), status }.into())
    }

    /// Its exit status, or 128 and the signal that it died of; `None` while it runs.
    ///
    /// # Errors
    ///
    /// Somebody else has waited for it.
    pub fn status(&mut self) -> anyhow::Result<Option<u8>> {
        while self.ended.is_none() {
            match waitpid(self.child, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, status)) => self.ended = Some(status),
                Ok(WaitStatus::Signaled(_, signal, _)) => self.ended = Some(KILLED + signal as i32),
                Ok(WaitStatus::StillAlive) => return Ok(None),
                Ok(_) | Err(Errno::EINTR) => {}
                // A signal without a name, that of a real-time one.
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

/// nix 0.30 has no function for it.
fn pidfd(child: Pid) -> std::io::Result<OwnedFd> {
    // SAFETY: makes a file descriptor, or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0) };
    match RawFd::try_from(fd) {
        // SAFETY: it is new, and nobody else's.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// The child.
fn become_it(words: &[CString], quiet: bool, mask: &nix::sys::signal::SigSet, hears: &OwnedFd, fails: &OwnedFd) -> ! {
    let _ = mask.thread_set_mask();
    // SAFETY: Rust ignores SIGPIPE; programs do not expect that.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // At the end of it nobody is there who would let us begin.
    if matches!(read(hears, &mut [0]), Ok(1)) {
        if quiet {
            // SAFETY: standard output is nobody's in this process.
            unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) };
        }
        let Err(error) = execvp(&words[0], words);
        let _ = nix::unistd::write(fails, &(error as i32).to_ne_bytes());
    }
    // SAFETY: ends this process at once.
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
    fn its_end_is_known() {
        assert_eq!(run(&["sh", "-c", "exit 7"]).unwrap(), 7);
        assert_eq!(run(&["sh", "-c", "kill -ILL $$"]).unwrap(), 132);
        let why = |words: &[&str]| run(words).unwrap_err().downcast::<CannotRun>().unwrap();
        assert_eq!(why(&["/no/such/program"]).to_string(), "cannot run /no/such/program: No such file or directory");
        assert_eq!((why(&["/no/such/program"]).status, why(&["/"]).status), (127, 126));
    }

    #[test]
    fn one_that_has_not_begun_never_does() {
        let signals = Signals::hold(&ENDING).unwrap();
        let words = ["sh", "-c", "echo begun >&2"].map(OsString::from);
        let program = Program::prepare(&words, true, &signals).unwrap().unwrap();
        let pid = Pid::from_raw(program.pid());
        drop(program);
        assert_eq!(kill(pid, None), Err(Errno::ESRCH));
        assert!(Program::prepare(&[], true, &signals).unwrap().is_none());
        // Nobody is there any more who would let it begin.
        let mut program = Program::prepare(&words, true, &signals).unwrap().unwrap();
        program.begin = None;
        assert_eq!(end(&mut program, &signals).unwrap(), NOT_FOUND);
    }
}
