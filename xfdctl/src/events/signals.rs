// SPDX-License-Identifier: GPL-2.0
//! Signals as something that can be waited for: nothing is left half done when one comes.

use nix::errno::Errno;
use nix::libc;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::cell::Cell;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Those that end us.
const HELD: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// The terminal sends them to a program that is run as well.
const OF_THE_TERMINAL: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

/// They are held back, for this thread and who it makes.
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
    ended: Cell<bool>,
    leave_terminals: Cell<bool>,
}

impl Signals {
    /// From now on.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn hold() -> nix::Result<Self> {
        let held: SigSet =
            HELD.into_iter().filter(|&signal| signal != Signal::SIGHUP || !is_ignored(signal)).collect();
        let before = held.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
        let fd = SignalFd::with_flags(&held, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd, before, ended: Cell::new(false), leave_terminals: Cell::new(false) })
    }

    /// What a child is to have.
    pub fn before(&self) -> SigSet {
        self.before
    }

    /// Ctrl-C is the program's from now on.
    pub fn leave_terminals(&self) {
        self.leave_terminals.set(true);
    }

    /// Takes those that have come; whether one of them was to end us.
    pub fn ended(&self) -> bool {
        while let Ok(Some(info)) = self.fd.read_signal() {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            let left = self.leave_terminals.get() && signal.is_some_and(|signal| OF_THE_TERMINAL.contains(&signal));
            self.ended.set(self.ended.get() || !left);
        }
        self.ended.get()
    }

    /// Returns when one of `files` can be read, or a signal has come.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn wait(&self, files: &[BorrowedFd]) -> nix::Result<()> {
        let all = files.iter().copied().chain([self.fd.as_fd()]);
        let mut all: Vec<_> = all.map(|file| PollFd::new(file, PollFlags::POLLIN)).collect();
        until_ready(&mut all)
    }

    /// A writer that gives up when a signal ends us, also while nobody reads.
    pub fn interrupts<W: Write + AsFd>(&self, inner: W) -> Interrupted<'_, W> {
        Interrupted { signals: self, inner }
    }
}

/// It is, below nohup(1).
fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only reads what is set, into `action`, which is all zeros if that fails: the default.
    unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

fn until_ready(files: &mut [PollFd]) -> nix::Result<()> {
    loop {
        match poll(files, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            done => return done.map(drop),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // Nobody is to be surprised by one that has been taken notice of.
        self.ended();
        let _ = self.before.thread_set_mask();
    }
}

/// See [`Signals::interrupts`].
pub struct Interrupted<'a, W> {
    signals: &'a Signals,
    inner: W,
}

/// A pipe that can be written to takes so many bytes without waiting.
const AT_ONCE: usize = 4096;

impl<W: Write + AsFd> Write for Interrupted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if self.signals.ended() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let mut files = [
                PollFd::new(self.inner.as_fd(), PollFlags::POLLOUT),
                PollFd::new(self.signals.fd.as_fd(), PollFlags::POLLIN),
            ];
            until_ready(&mut files)?;
            if files[0].any().unwrap_or(true) {
                break;
            }
        }
        self.inner.write(&bytes[..bytes.len().min(AT_ONCE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Whether this is how [`Interrupted`] gave up.
pub fn is_interruption(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionAborted
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use std::fs::File;

    fn send(signal: Signal) {
        pthread_kill(pthread_self(), signal).unwrap();
    }

    #[test]
    fn one_that_ends_us_is_noticed() {
        let signals = Signals::hold().unwrap();
        assert!(!signals.ended());
        send(Signal::SIGTERM);
        signals.wait(&[]).unwrap();
        assert!(signals.ended());
    }

    #[test]
    fn those_of_the_terminal_may_be_the_programs() {
        let signals = Signals::hold().unwrap();
        signals.leave_terminals();
        send(Signal::SIGINT);
        assert!(!signals.ended());
        send(Signal::SIGHUP);
        assert!(signals.ended());
    }

    #[test]
    fn writing_where_nobody_reads_ends() {
        let (_unread, pipe) = nix::unistd::pipe().unwrap();
        let signals = Signals::hold().unwrap();
        let mut out = signals.interrupts(File::from(pipe));
        out.write_all(&vec![0; 10_000]).unwrap();
        send(Signal::SIGINT);
        let error = out.write_all(&vec![0; 1_000_000]).unwrap_err();
        assert!(is_interruption(&error), "{error}");
    }
}
