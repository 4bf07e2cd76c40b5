// SPDX-License-Identifier: GPL-2.0
//! Output that never blocks indefinitely: nobody may be reading a pipe or a terminal (Ctrl-S, a stalled connection), and
//! while signals are events, only SIGKILL could end a blocked write.

use crate::signals::{ready, Signals};
use nix::libc;
use nix::poll::{PollFd, PollFlags};
use std::fs::{self, File};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// A writable pipe accepts this many bytes without blocking.
const PIPE: usize = 4096;
/// A writable terminal may have space for only one byte, and blocks until it has accepted everything.
const TERMINAL: usize = 1;
/// How long to wait if an output is reported as writable but accepts nothing.
const PAUSE: Duration = Duration::from_millis(5);
/// For what is opened here.
const FLAGS: libc::c_int = libc::O_NONBLOCK | libc::O_NOCTTY;

/// A file that is written in portions that do not block.
pub struct Output {
    file: File,
    portion: usize,
}

impl Output {
    /// Standard output. A terminal is reopened, because others share the open file, whose `O_NONBLOCK` flag they would
    /// see.
    ///
    /// # Errors
    ///
    /// Fails if a system call fails.
    pub fn stdout() -> io::Result<Self> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            if let Ok(file) = File::options().write(true).custom_flags(FLAGS).open("/proc/self/fd/1") {
                return Ok(Self { file, portion: usize::MAX });
            }
        }
        let portion = if stdout.is_terminal() { TERMINAL } else { PIPE };
        Ok(Self { file: stdout.as_fd().try_clone_to_owned()?.into(), portion })
    }

    /// The file at `path`, which is created or emptied. This does not wait for somebody who reads a named pipe.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be opened, or is a named pipe that nobody reads.
    pub fn create(path: &Path) -> io::Result<Self> {
        match File::options().write(true).create(true).truncate(true).custom_flags(FLAGS).open(path) {
            Ok(file) => Ok(Self { file, portion: usize::MAX }),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) && is_named_pipe(path) => {
                Err(io::Error::new(ErrorKind::NotConnected, "nobody reads this pipe: start what reads it first"))
            }
            Err(error) => Err(error),
        }
    }

    /// Writes until a signal has arrived or, if there is an `input`, until that is readable. Neither is checked while
    /// the output accepts bytes: whatever can be written is written.
    pub fn until<'a>(&'a self, signals: &'a Signals, input: Option<BorrowedFd<'a>>) -> Interruptible<'a> {
        Interruptible { output: self, signals, input }
    }

    /// Writes all of `bytes`, or as much as is accepted within `time`.
    ///
    /// # Errors
    ///
    /// Fails if a system call fails or the time is up.
    pub fn write_within(&self, bytes: &[u8], time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut files = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
            if ready(&mut files, Some(until))? == 0 || Instant::now() >= until {
                return Err(ErrorKind::TimedOut.into());
            }
            rest = &rest[self.write_now(rest)?..];
        }
        Ok(())
    }

    /// Writes what is accepted now. That may be nothing: a writable terminal may lack space for a line feed.
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match (&self.file).write(&bytes[..bytes.len().min(self.portion)]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                std::thread::sleep(PAUSE);
                Ok(0)
            }
            done => done,
        }
    }
}

fn is_named_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo())
}

/// See [`Output::until`].
pub struct Interruptible<'a> {
    output: &'a Output,
    signals: &'a Signals,
    input: Option<BorrowedFd<'a>>,
}

impl Write for Interruptible<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let has_ended = self.signals.has_ended();
            let mut files = vec![
                PollFd::new(self.output.file.as_fd(), PollFlags::POLLOUT),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            files.extend(self.input.map(|input| PollFd::new(input, PollFlags::POLLIN)));
            ready(&mut files, has_ended.then(Instant::now))?;
            let is_ready = |number: usize| files.get(number).is_some_and(|file| file.any().unwrap_or(true));
            let count = if is_ready(0) { self.output.write_now(bytes)? } else { 0 };
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            if has_ended || is_ready(2) {
                return Err(io::Error::new(
                    ErrorKind::ConnectionAborted,
                    "interrupted while nobody reads the output",
                ));
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether [`Interruptible`] gave up.
pub fn is_interruption(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionAborted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::ENDING;
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use nix::sys::signal::Signal;
    use std::io::Read;

    fn pipe() -> (File, Output) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        (reader.into(), Output { file: writer.into(), portion: PIPE })
    }

    #[test]
    fn a_signal_ends_a_write_that_nobody_reads() {
        let (mut reader, output) = pipe();
        let signals = Signals::hold(&ENDING).unwrap();
        let mut out = output.until(&signals, None);
        out.write_all(&vec![0; 10_000]).unwrap();
        pthread_kill(pthread_self(), Signal::SIGINT).unwrap();
        // Whatever is accepted is still written.
        out.write_all(&vec![0; 10_000]).unwrap();
        for _ in 0..2 {
            let error = out.write_all(&vec![0; 1_000_000]).unwrap_err();
            assert!(is_interruption(&error), "{error}");
        }
        reader.read_exact(&mut vec![0; 20_000]).unwrap();
    }

    #[test]
    fn input_ends_it_as_well() {
        let (_reader, output) = pipe();
        let (input, mut keyboard) = std::os::unix::net::UnixStream::pair().unwrap();
        let signals = Signals::hold(&ENDING).unwrap();
        let mut out = output.until(&signals, Some(input.as_fd()));
        keyboard.write_all(b"q").unwrap();
        out.write_all(b"fits").unwrap();
        assert!(is_interruption(&out.write_all(&vec![0; 1_000_000]).unwrap_err()));
    }

    #[test]
    fn a_file_is_created_or_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let (path, signals) = (folder.path().join("file"), Signals::hold(&ENDING).unwrap());
        for text in ["a longer text", "text"] {
            Output::create(&path).unwrap().until(&signals, None).write_all(text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(Output::create(folder.path()).err().unwrap().kind(), ErrorKind::IsADirectory);
    }

    #[test]
    fn time_ends_it() {
        let (_reader, output) = pipe();
        output.write_within(b"fits", Duration::from_secs(60)).unwrap();
        let error = output.write_within(&vec![0; 1_000_000], Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
