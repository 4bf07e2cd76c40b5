// SPDX-License-Identifier: GPL-2.0
//! Signals as events: what is being done is done to its end, and a wait is ended by them.

use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{raise, SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Why a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The time has come.
    Time,
    /// There is something to read.
    Input,
    /// That signal has come.
    Signal(Signal),
}

/// Signals that come as events as long as it is there; those of this thread, and of threads that it makes.
pub struct Signals {
    set: SigSet,
    file: SignalFd,
}

impl Signals {
    /// Those of `signals` are events from here on.
    ///
    /// # Errors
    ///
    /// No file can be opened.
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let set: SigSet = signals.iter().copied().collect();
        let file = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        set.thread_block()?;
        Ok(Self { set, file })
    }

    /// Waits for a signal, for `input` if there is one, or until then.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn wait(&self, until: Instant, input: Option<BorrowedFd>) -> io::Result<Event> {
        loop {
            let mut files = vec![PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            files.extend(input.map(|input| PollFd::new(input, PollFlags::POLLIN)));
            // The next millisecond: not before the time.
            let left = until.saturating_duration_since(Instant::now()).as_millis() + 1;
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut files, timeout) {
                Ok(0) if Instant::now() < until => {}
                Ok(0) => return Ok(Event::Time),
                Ok(_) => {
                    let Some(info) = self.file.read_signal()? else { return Ok(Event::Input) };
                    if let Some(signal) = i32::try_from(info.ssi_signo).ok().and_then(|n| n.try_into().ok()) {
                        return Ok(Event::Signal(signal));
                    }
                }
                // A stop ended it.
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Lets `signal` do to this process what it does by default, though it is one of [`Signals`]. That may be its end.
///
/// # Errors
///
/// The kernel's.
pub fn obey(signal: Signal) -> io::Result<()> {
    let one: SigSet = [signal].into_iter().collect();
    raise(signal)?;
    one.thread_unblock()?;
    Ok(one.thread_block()?)
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.set.thread_unblock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use std::time::Duration;

    #[test]
    fn each_ends_a_wait() {
        let signals = Signals::new(&[Signal::SIGUSR1]).unwrap();
        let begin = Instant::now();
        let soon = begin + Duration::from_millis(20);
        assert_eq!(signals.wait(soon, None).unwrap(), Event::Time);
        assert!(Instant::now() >= soon);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        io::Write::write_all(&mut { theirs }, b"a").unwrap();
        let late = begin + Duration::from_secs(600);
        assert_eq!(signals.wait(late, Some(ours.as_fd())).unwrap(), Event::Input);
        pthread_kill(pthread_self(), Signal::SIGUSR1).unwrap();
        assert_eq!(signals.wait(late, Some(ours.as_fd())).unwrap(), Event::Signal(Signal::SIGUSR1));
        assert!(begin.elapsed() < Duration::from_secs(300));
    }
}
