// SPDX-License-Identifier: GPL-2.0
//! Signals as events: they end a wait or a blocking write, and interrupt nothing else.

use nix::errno::Errno;
use nix::libc;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{raise, SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// The signals that ask a process to end.
pub const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// Those that a terminal also sends to a program run by xfdctl.
const FROM_THE_TERMINAL: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

/// Why a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The time is up.
    Time,
    /// One of the files is readable.
    Input,
    /// [`Signals::next`] has one.
    Signal,
}

/// Signals are events while this exists, for this thread and the threads and processes that it creates.
pub struct Signals {
    file: SignalFd,
    before: SigSet,
    /// Read from `file` but not yet returned by [`Signals::next`].
    queue: RefCell<VecDeque<Signal>>,
    leaves_terminal: Cell<bool>,
}

impl Signals {
    /// Turns `signals` into events, except SIGHUP if it is ignored: nohup(1) wants it to stay ignored.
    ///
    /// # Errors
    ///
    /// Fails if a system call fails.
    pub fn hold(signals: &[Signal]) -> io::Result<Self> {
        let is_held = |signal: &Signal| *signal != Signal::SIGHUP || !is_ignored(*signal);
        let set: SigSet = signals.iter().copied().filter(is_held).collect();
        let file = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { file, before, queue: RefCell::default(), leaves_terminal: Cell::new(false) })
    }

    /// The signal mask that a child must have.
    pub fn before(&self) -> SigSet {
        self.before
    }

    /// From now on Ctrl-C and Ctrl-\ are for the running program, and are discarded here.
    pub fn leave_terminal(&self) {
        self.leaves_terminal.set(true);
    }

    /// Takes the next signal.
    pub fn next(&self) -> Option<Signal> {
        self.receive();
        self.queue.borrow_mut().pop_front()
    }

    /// Whether a signal is waiting that asks for more than a new terminal size.
    pub fn has_ended(&self) -> bool {
        self.receive();
        self.queue.borrow().iter().any(|signal| *signal != Signal::SIGWINCH)
    }

    /// Waits for a signal, for one of `files` to become readable, or `until` that time.
    ///
    /// # Errors
    ///
    /// Fails if a system call fails.
    pub fn wait(&self, files: &[BorrowedFd], until: Option<Instant>) -> io::Result<Event> {
        let all = files.iter().copied().chain([self.file.as_fd()]);
        let mut all: Vec<_> = all.map(|file| PollFd::new(file, PollFlags::POLLIN)).collect();
        let mut is_input = false;
        loop {
            self.receive();
            if !self.queue.borrow().is_empty() {
                return Ok(Event::Signal);
            }
            if is_input {
                return Ok(Event::Input);
            }
            if ready(&mut all, until)? == 0 {
                return Ok(Event::Time);
            }
            is_input = all[..files.len()].iter().any(|file| file.any().unwrap_or(true));
        }
    }

    /// Moves what has arrived into the queue.
    fn receive(&self) {
        while let Ok(Some(info)) = self.file.read_signal() {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            let is_ours = |signal: &Signal| !(self.leaves_terminal.get() && FROM_THE_TERMINAL.contains(signal));
            self.queue.borrow_mut().extend(signal.filter(is_ours));
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // A signal that was an event must not kill this process afterwards.
        self.receive();
        let _ = self.before.thread_set_mask();
    }
}

/// Waits until one of `files` is ready or `until` that time; returns how many are ready.
///
/// # Errors
///
/// Fails if a system call fails.
pub fn ready(files: &mut [PollFd], until: Option<Instant>) -> io::Result<i32> {
    loop {
        // Rounded up: never before the time.
        let left = until.map(|until| until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000));
        let timeout = left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        match poll(files, timeout) {
            Ok(0) if until.is_some_and(|until| Instant::now() < until) => {}
            // A job-control stop interrupted it.
            Err(Errno::EINTR) => {}
            done => return Ok(done?),
        }
    }
}

/// Lets `signal`, which is held, have its default effect on this process, which may end it.
///
/// # Errors
///
/// Fails if a system call fails.
pub fn obey(signal: Signal) -> io::Result<()> {
    let one: SigSet = [signal].into_iter().collect();
    raise(signal)?;
    one.thread_unblock()?;
    Ok(one.thread_block()?)
}

fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the call only writes `action`. If it fails, `action` stays all zeros, which is SIG_DFL.
    unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use std::time::Duration;

    fn send(signal: Signal) {
        pthread_kill(pthread_self(), signal).unwrap();
    }

    #[test]
    fn each_event_ends_a_wait() {
        let signals = Signals::hold(&[Signal::SIGUSR1]).unwrap();
        let begin = Instant::now();
        let soon = begin + Duration::from_millis(20);
        assert_eq!(signals.wait(&[], Some(soon)).unwrap(), Event::Time);
        assert!(Instant::now() >= soon);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        io::Write::write_all(&mut { theirs }, b"a").unwrap();
        let late = Some(begin + Duration::from_secs(600));
        assert_eq!(signals.wait(&[ours.as_fd()], late).unwrap(), Event::Input);
        send(Signal::SIGUSR1);
        // A signal has precedence over input.
        assert_eq!(signals.wait(&[ours.as_fd()], late).unwrap(), Event::Signal);
        assert_eq!((signals.next(), signals.next()), (Some(Signal::SIGUSR1), None));
        assert!(begin.elapsed() < Duration::from_secs(300));
    }

    #[test]
    fn a_new_size_is_no_end() {
        let signals = Signals::hold(&[Signal::SIGWINCH, Signal::SIGTERM]).unwrap();
        send(Signal::SIGWINCH);
        assert!(!signals.has_ended());
        send(Signal::SIGTERM);
        assert!(signals.has_ended() && signals.has_ended());
        assert_eq!((signals.next(), signals.next()), (Some(Signal::SIGWINCH), Some(Signal::SIGTERM)));
        assert!(!signals.has_ended());
    }

    #[test]
    fn the_terminals_signals_may_be_the_programs() {
        let signals = Signals::hold(&ENDING).unwrap();
        signals.leave_terminal();
        send(Signal::SIGINT);
        assert!(!signals.has_ended());
        send(Signal::SIGHUP);
        assert!(signals.has_ended());
    }

    #[test]
    fn nothing_is_left_for_later() {
        let signals = Signals::hold(&[Signal::SIGUSR2]).unwrap();
        send(Signal::SIGUSR2);
        drop(signals);
        // It would have killed this process.
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGUSR2));
    }
}
