// SPDX-License-Identifier: GPL-2.0
//! A terminal, and a program on it.

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
    /// All that it wrote.
    pub shown: String,
}

impl Terminal {
    /// Starts `command` on a terminal of its own, 80 columns wide.
    pub fn start(mut command: Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        // The program is not to hold the other end of its terminal: it hangs up when the test has gone.
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let end = || pair.slave.try_clone().unwrap();
        let terminal = end();
        command.stdin(end()).stdout(end()).stderr(end()).env("TERM", "xterm").env_remove("NO_COLOR");
        // SAFETY: two system calls in the child.
        unsafe {
            command.pre_exec(move || {
                setsid()?;
                own_terminal(terminal.as_raw_fd(), 0)?;
                Ok(())
            });
        }
        let before = tcgetattr(&pair.slave).unwrap();
        let child = command.spawn().unwrap();
        // Its copies stay open in the command.
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

    /// Waits until that is to be seen.
    #[track_caller]
    pub fn expect(&mut self, what: &str) {
        while !self.screen().contains(what) {
            assert!(self.read(60_000), "no {what:?} in\n{}", self.screen());
        }
    }

    /// Waits until that is to be seen no more.
    #[track_caller]
    pub fn expect_gone(&mut self, what: &str) {
        while self.screen().contains(what) {
            assert!(self.read(60_000), "still {what:?} in\n{}", self.screen());
        }
    }

    /// What is to be seen.
    pub fn screen(&self) -> String {
        self.screen.screen().contents()
    }

    /// Reads what it writes; `false` if that is nothing, for so many milliseconds.
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

    /// Whether keys come one by one, and unseen.
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
        // SAFETY: a size for a terminal.
        unsafe { set_size(self.person.as_raw_fd(), &raw const size) }.unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// The terminal goes, as when its window is closed; how the program ends then.
    pub fn hang_up(&mut self) -> ExitStatus {
        let nowhere = || File::open("/dev/null").unwrap().into();
        (self.person, self.program) = (nowhere(), nowhere());
        self.child.wait().unwrap()
    }

    /// Waits until the program has begun to write more than the terminal buffers, and reads nothing.
    #[track_caller]
    pub fn fill(&self) {
        let begin = Instant::now();
        let mut waiting = 0;
        // A terminal shows a reader 4 KiB of the 12 KiB that it buffers.
        while waiting < 4000 {
            assert!(begin.elapsed().as_secs() < 60, "it wrote only {waiting} bytes");
            sleep(Duration::from_millis(2));
            // SAFETY: it writes an int.
            unsafe { bytes_waiting(self.person.as_raw_fd(), &raw mut waiting) }.unwrap();
        }
    }

    /// Waits for the program's end, and reads nothing.
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

    /// Waits until the program has ended; what it wrote last is in `shown`.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        // It may wait until there is room for what it writes.
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
