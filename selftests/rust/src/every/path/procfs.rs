// SPDX-License-Identifier: GPL-2.0
//! /proc/xfd/tasks.

use super::{live, Path, Prepared, Start};
use crate::every::kind::{Kind, Kinds};
use crate::rows;
use crate::shared_memory::{self, Shareable};
use crate::sys;
use crate::{child, idle};
use anyhow::{ensure, Context};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::{mem, thread};

pub(super) const PATHS: &[Path] = &[Path::new(
    "read_tasks",
    "/proc/xfd/tasks is read, and shows one that sleeps with live tiles",
    Start::Module,
    |_, _| ReadTasks::prepare(),
)
// The reader pins the module.
.by(Kinds::USUAL.without(Kind::Wait))
.needs(rows::PATH)];

/// A sleeper, and what /proc showed about it.
struct ReadTasks {
    sleeper: i32,
    state: anyhow::Result<String>,
}

/// Whether the sleeper has its tiles.
struct Ready(AtomicU32);

// SAFETY: it consists of an atomic, for which any value is valid.
#[expect(unsafe_code, reason = "the marker of shared memory is an unsafe trait")]
unsafe impl Shareable for Ready {}

impl ReadTasks {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        let ready: &Ready = shared_memory::anonymous()?;
        let sleeper = child::begin(|| {
            sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)?;
            mem::forget(live(5)?);
            ready.0.store(1, SeqCst);
            loop {
                thread::park();
            }
        })?;
        let mut path = ReadTasks {
            sleeper,
            state: Ok(String::new()),
        };
        while ready.0.load(SeqCst) == 0 {
            ensure!(!child::has_ended(sleeper), "the sleeper has exited");
            thread::yield_now();
        }
        idle::wait_until_asleep(sleeper)?;
        path.take();
        path.check(false)?;
        Ok(Box::new(path))
    }

    fn read(&self) -> anyhow::Result<String> {
        let row = rows::all()?.remove(&self.sleeper);
        Ok(row.context("the sleeper is not shown")?.state)
    }
}

impl Prepared for ReadTasks {
    fn take(&mut self) {
        self.state = self.read();
    }

    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        let state = mem::replace(&mut self.state, Ok(String::new()))?;
        ensure!(state == "live", "the sleeper's state is {state:?}");
        Ok(())
    }

    fn again(&mut self) -> anyhow::Result<bool> {
        Ok(true)
    }
}

impl Drop for ReadTasks {
    fn drop(&mut self) {
        sys::signal_process(self.sleeper, libc::SIGKILL);
        let _ = sys::wait(self.sleeper, 0);
    }
}
