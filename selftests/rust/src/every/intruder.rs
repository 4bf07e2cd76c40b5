// SPDX-License-Identifier: GPL-2.0
//! The preempting process.

use super::path::live;
use super::shared::{Shared, TAKEN_ON};
use crate::avx::{self, Ymm};
use crate::shared_memory::{self, Shareable};
use crate::sys::{self, End};
use crate::tile::expect;
use crate::{child, cpus, module};
use anyhow::{bail, ensure, Context};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// A process on the CPU where the path is taken, which preempts whenever it has something to do. It always
/// has live tiles, and different data in the AVX registers each time it wakes.
pub(super) struct Intruder {
    pid: i32,
    wake: OwnedFd,
    woken: u64,
    awake: &'static Awake,
}

/// Longer than unloading takes if it waits for nothing.
const KEPT: Duration = Duration::from_millis(500);

/// The longest that it takes for its work.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the process says about itself.
struct Awake {
    /// How often it has woken and found its registers unchanged.
    times: AtomicU64,
    /// How often it has then done its work.
    done: AtomicU64,
}

// SAFETY: it consists of atomics, for which any value is valid.
#[expect(unsafe_code, reason = "the marker of shared memory is an unsafe trait")]
unsafe impl Shareable for Awake {}

impl Intruder {
    /// Starts the process; `then` is what it does each time after checking its registers.
    pub(super) fn start(then: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let (reads, wake) = rustix::pipe::pipe()?;
        let (ready, says) = rustix::pipe::pipe()?;
        let awake: &Awake = shared_memory::anonymous()?;
        let pid = child::begin(|| {
            sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)?;
            cpus::pin_to(TAKEN_ON)?;
            sys::run_first()?;
            let mut tiles = live(1)?;
            rustix::io::write(&says, &[1])?;
            for number in (0..=u8::MAX).cycle() {
                let registers = Ymm::filled(number);
                let after = avx::read_with(reads.as_fd(), &registers)?;
                ensure!(after == registers, "the AVX registers have changed");
                expect(&tiles.store_all(), 1)?;
                awake.times.fetch_add(1, SeqCst);
                then()?;
                awake.done.fetch_add(1, SeqCst);
            }
            Ok(())
        })?;
        drop((says, reads));
        let mut byte = [0];
        ensure!(
            rustix::io::read(&ready, &mut byte)? == 1,
            "it does not answer"
        );
        Ok(Intruder {
            pid,
            wake,
            woken: 0,
            awake,
        })
    }

    /// Starts one that keeps the CPU until the module is gone, or for a long time; the kernel's workers there go first.
    /// Fails if the path was taken to its end in that time.
    pub(super) fn start_to_keep(shared: &'static Shared) -> anyhow::Result<Self> {
        Self::start(|| {
            let begin = Instant::now();
            while module::is_there() && begin.elapsed() < KEPT {
                // Checking is slow, so do it only once in 20 rounds.
                (0..20).for_each(|_| sys::keep_cpu());
            }
            ensure!(
                !shared.was_taken(),
                "the task left while another process had its CPU"
            );
            Ok(())
        })
    }

    pub(super) fn wake(&mut self) -> anyhow::Result<()> {
        self.woken += 1;
        rustix::io::write(&self.wake, &[1]).context("waking the intruder")?;
        Ok(())
    }

    /// Sleeps until it has done its work each time it was woken.
    ///
    /// # Errors
    ///
    /// It failed, or takes too long.
    pub(super) fn wait_until_done(&self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while self.awake.done.load(SeqCst) < self.woken {
            ensure!(
                !child::has_ended(self.pid),
                "the intruder has ended: see above"
            );
            ensure!(begin.elapsed() < PATIENCE, "the intruder does not finish");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Checks that nothing of its own was disturbed, and that it woke each time.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let done = self.wait_until_done();
        sys::signal_process(self.pid, libc::SIGKILL);
        match sys::wait(self.pid, 0)? {
            (_, End::Signal(libc::SIGKILL)) => {}
            (_, end) => bail!("the intruder ended with {end:?}: see above"),
        }
        let awake = self.awake.times.load(SeqCst);
        ensure!(
            awake == self.woken,
            "woken {} times, it was awake {awake} times",
            self.woken
        );
        done
    }
}
