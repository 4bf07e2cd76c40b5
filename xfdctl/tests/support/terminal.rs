// SPDX-License-Identifier: GPL-2.0
//! A pseudo-terminal, and a program that runs on it.

use nix::fcntl::{fcntl, FcntlArg, FdFlag};
use nix::poll::{poll, PollFd, PollFlags};
use nix::pty::{openpty, Winsize};
use nix::sys::signal::{kill, Signal};
use nix::sys::termios::{tcgetattr, LocalFlags, Termios};
use nix::unistd::{read, setsid, Pid};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

nix::ioctl_write_int_bad!(own_terminal, nix::libc::TIOCSCTTY);
nix::ioctl_write_ptr_bad!(set_size, nix::libc::TIOCSWINSZ, Winsize);
nix::ioctl_read_bad!(bytes_waiting, nix::libc::FIONREAD, nix::libc::c_int);

pub struct Terminal {
    person: OwnedFd,
    program: OwnedFd,
    before: Termios,
    child: Child,
    screen: vt100::Parser,
    /// Everything that the program wrote.
    pub shown: String,
}

impl Terminal {
    /// Starts `command` on its own terminal, 80 columns wide.
    pub fn start(mut command: Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        // The program must not inherit the test's end of its terminal, which would then not hang up.
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let end = || pair.slave.try_clone().unwrap();
        let terminal = end();
        command.stdin(end()).stdout(end()).stderr(end()).env("TERM", "xterm").env_remove("NO_COLOR");
        // SAFETY: the child makes two system calls.
        unsafe {
            command.pre_exec(move || {
                setsid()?;
                own_terminal(terminal.as_raw_fd(), 0)?;
                Ok(())
            });
        }
        let before = tcgetattr(&pair.slave).unwrap();
        let child = command.spawn().unwrap();
        // It holds copies of the terminal's file descriptor.
        drop(command);
        Self {
            person: pair.master,
            program: pair.slave,
            before,
            child,
            screen: vt100::Parser::new(24, 80, 0),
            shown: String::new(),
        }
    }

    /// Waits until the screen shows `what`.
    #[track_caller]
    pub fn expect(&mut self, what: &str) {
        while !self.screen().contains(what) {
            assert!(self.read(60_000), "no {what:?} in\n{}", self.screen());
        }
    }

    /// Waits until the screen no longer shows `what`.
    #[track_caller]
    pub fn expect_gone(&mut self, what: &str) {
        while self.screen().contains(what) {
            assert!(self.read(60_000), "still {what:?} in\n{}", self.screen());
        }
    }

    /// The contents of the screen.
    pub fn screen(&self) -> String {
        self.screen.screen().contents()
    }

    /// Reads what the program writes; `false` if it wrote nothing for this many milliseconds.
    pub fn read(&mut self, patience: u16) -> bool {
        let mut files = [PollFd::new(self.person.as_fd(), PollFlags::POLLIN)];
        if poll(&mut files, patience) != Ok(1) {
            return false;
        }
        let mut bytes = [0; 4096];
        let count = read(&self.person, &mut bytes).unwrap();
        self.screen.process(&bytes[..count]);
        self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        true
    }

    /// Whether keys arrive one by one and are not echoed.
    pub fn is_taken(&self) -> bool {
        !tcgetattr(&self.program).unwrap().local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    #[track_caller]
    pub fn expect_as_before(&self) {
        assert_eq!(tcgetattr(&self.program).unwrap(), self.before);
    }

    pub fn type_keys(&self, keys: &str) {
        File::from(self.person.try_clone().unwrap()).write_all(keys.as_bytes()).unwrap();
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        self.screen.set_size(rows, columns);
        // SAFETY: the call only reads `size`.
        unsafe { set_size(self.person.as_raw_fd(), &raw const size) }.unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Closes the terminal, as if its window had been closed; returns how the program ended.
    pub fn hang_up(&mut self) -> ExitStatus {
        let nowhere = || File::open("/dev/null").unwrap().into();
        (self.person, self.program) = (nowhere(), nowhere());
        self.child.wait().unwrap()
    }

    /// Waits until the program has begun to write more than the terminal can buffer. Reads nothing.
    #[track_caller]
    pub fn fill(&self) {
        let begin = Instant::now();
        let mut waiting = 0;
        // The kernel counts the 4 KiB that are ready to be read, out of 12 KiB.
        while waiting < 4000 {
            assert!(begin.elapsed().as_secs() < 60, "it wrote only {waiting} bytes");
            sleep(Duration::from_millis(2));
            // SAFETY: the call only writes `waiting`.
            unsafe { bytes_waiting(self.person.as_raw_fd(), &raw mut waiting) }.unwrap();
        }
    }

    /// Waits for the program to end. Reads nothing.
    #[track_caller]
    pub fn end_unread(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            // It takes a fifth of a second; a busy machine may take longer.
            assert!(begin.elapsed().as_secs() < 10, "it waits for somebody who reads");
            sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the program to end, reading what it writes until then.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        // The program may be waiting for a reader.
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            self.read(5);
        };
        while self.read(0) {}
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
