// SPDX-License-Identifier: GPL-2.0
//! A process whose threads each stay in one state, with their tiles live, released or unused.

use crate::shared_memory::{self, Shareable};
use crate::tile::{content, Tiles};
use crate::{child, sys};
use anyhow::ensure;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::time::Duration;
use std::{hint, mem, thread};
use xcomp::Feature;
use Role::{Busy, Released, Unused};

/// What a thread does until it is woken, and then repeats.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sleeps, and has not used tiles.
    Unused,
    /// Sleeps with data in its tiles.
    Live,
    /// Sleeps, and has released its tiles.
    Released,
    /// Stays in user mode with data in its tiles.
    Busy,
}

/// Memory shared by the test and its process.
#[repr(C)]
struct Shared {
    tids: [AtomicI32; 8],
}

// SAFETY: it consists of atomics, for which any value is valid.
#[expect(unsafe_code, reason = "the marker of shared memory is an unsafe trait")]
unsafe impl Shareable for Shared {}

/// A separate process with one thread per role; it lives until this is dropped.
pub struct Process {
    /// Its PID.
    pub pid: i32,
    /// The threads' TIDs, in the order of their roles.
    pub tids: Vec<i32>,
    /// One pipe per thread, which sleeps until it can read a byte.
    pipes: Vec<(OwnedFd, OwnedFd)>,
}

impl Process {
    /// Starts the process, which first runs `before`, to ask for permission if needed. Returns once every thread is
    /// playing its role, or is about to sleep.
    ///
    /// # Errors
    ///
    /// EAGAIN or ENOMEM, or the process has exited.
    pub fn begin(
        roles: &[Role],
        before: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let shared: &Shared = shared_memory::anonymous()?;
        let pipes = roles.iter().map(|_| rustix::pipe::pipe());
        let pipes = pipes.collect::<Result<Vec<_>, _>>()?;
        let pid = child::begin(|| {
            before()?;
            thread::scope(|scope| {
                for ((&role, tid), pipe) in roles.iter().zip(&shared.tids).zip(&pipes) {
                    scope.spawn(move || play(role, tid, pipe.0.as_fd()));
                }
            });
            Ok(())
        })?;
        let mut process = Process {
            pid,
            tids: Vec::new(),
            pipes,
        };
        for tid in &shared.tids[..roles.len()] {
            process.tids.push(process.wait_for(tid)?);
        }
        Ok(process)
    }

    /// Starts a process that may use tiles.
    ///
    /// # Errors
    ///
    /// As for [`Self::begin`].
    pub fn permitted(roles: &[Role]) -> anyhow::Result<Self> {
        Self::begin(roles, || Ok(xcomp::request(Feature::TILE_DATA)?))
    }

    /// The thread's TID, once it has done the first part of its role.
    fn wait_for(&self, tid: &AtomicI32) -> anyhow::Result<i32> {
        loop {
            match tid.load(SeqCst) {
                0 => ensure!(!child::has_ended(self.pid), "the process has exited"),
                tid => return Ok(tid),
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Wakes the thread at this index in the list of roles; it then plays its role again.
    ///
    /// # Errors
    ///
    /// The process has exited.
    pub fn wake(&self, number: usize) -> anyhow::Result<()> {
        ensure!(
            rustix::io::write(&self.pipes[number].1, &[0])? == 1,
            "write"
        );
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        sys::signal_process(self.pid, libc::SIGKILL);
        let _ = sys::wait(self.pid, 0);
    }
}

/// One thread of a [`Process`].
fn play(role: Role, tid: &AtomicI32, asleep: BorrowedFd) {
    loop {
        let tiles = (role != Unused).then(|| {
            let mut tiles = Tiles::configure();
            tiles.load_all(&content(1));
            tiles
        });
        if role == Released {
            drop(tiles);
        } else {
            mem::forget(tiles);
        }
        tid.store(sys::tid(), SeqCst);
        if role == Busy {
            loop {
                hint::spin_loop();
            }
        }
        let _ = rustix::io::read(asleep, &mut [0]);
    }
}
