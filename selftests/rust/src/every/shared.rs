// SPDX-License-Identifier: GPL-2.0
//! What the processes of a trial share: who takes the path, who watches, who disturbs, and a victim.

use super::trigger::{self, State};
use crate::shared_memory::Shareable;
use rustix::thread::futex::{self, Flags, Timespec};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

/// Where the path is taken.
pub const TAKEN_ON: usize = 0;
/// Where the disturbance, and who watches, run.
pub const WATCHED_FROM: usize = 1;

/// All zero at the start of a trial.
#[repr(C)]
pub struct Shared {
    pub(super) ready: AtomicU32,
    pub(super) go: AtomicU32,
    pub(super) over: AtomicU32,
    pub(super) passed: AtomicU64,
    /// Who is disturbed, if it is not who takes the path.
    victim: AtomicI32,
    /// Whether that one may end by SIGKILL.
    kills: AtomicU32,
    /// Whether the victim is to go on.
    wake: AtomicU32,
    /// Whether it spins.
    spinning: AtomicU32,
}

// SAFETY: atomics alone.
#[allow(unsafe_code)]
unsafe impl Shareable for Shared {}

/// As long as a word is waited for, before something else is looked at.
const A_WHILE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

fn set(word: &AtomicU32) {
    word.store(1, SeqCst);
    // Fails if the address is bad.
    let _ = futex::wake(word, Flags::empty(), u32::MAX);
}

/// Sleeps until it is set; false if it is not yet.
fn wait(word: &AtomicU32, at_most: Option<&Timespec>) -> bool {
    let _ = futex::wait(word, Flags::empty(), 0, at_most);
    word.load(SeqCst) != 0
}

impl Shared {
    /// For a new trial.
    pub(super) fn begin(&self, kills: bool) {
        for word in [
            &self.ready,
            &self.go,
            &self.over,
            &self.wake,
            &self.spinning,
        ] {
            word.store(0, SeqCst);
        }
        self.passed.store(0, SeqCst);
        self.victim.store(0, SeqCst);
        self.kills.store(kills.into(), SeqCst);
    }

    /// The path has been taken, by this process: disarms the trigger. Once, from whatever CPU. Whether it had fired.
    pub fn is_over(&self) -> bool {
        let seen = trigger::disarm(TAKEN_ON);
        self.passed.store(seen.passed, SeqCst);
        self.over.store(1, SeqCst);
        seen.state == State::Fired
    }

    /// Says that the path can be taken.
    pub(super) fn is_ready(&self) {
        set(&self.ready);
    }

    /// Sleeps until it can; false if it cannot yet.
    pub(super) fn wait_until_ready(&self) -> bool {
        wait(&self.ready, Some(&A_WHILE))
    }

    /// Says who is disturbed.
    pub fn set_victim(&self, pid: i32) {
        self.victim.store(pid, SeqCst);
    }

    pub(super) fn victim(&self) -> Option<i32> {
        Some(self.victim.load(SeqCst)).filter(|pid| *pid != 0)
    }

    /// Whether the disturbance kills.
    #[must_use]
    pub fn kills(&self) -> bool {
        self.kills.load(SeqCst) != 0
    }

    /// Lets the victim go on.
    pub fn wake_victim(&self) {
        set(&self.wake);
    }

    /// The victim sleeps until then, and is not awake in between.
    pub fn sleep_until_woken(&self) {
        while !wait(&self.wake, None) {}
    }

    /// Says that this process begins to spin.
    pub fn spins(&self) {
        set(&self.spinning);
    }

    /// Sleeps until a process does.
    pub fn wait_until_spinning(&self) {
        while !wait(&self.spinning, Some(&A_WHILE)) {}
    }

    /// Whether the victim is to go on: for one that does not sleep.
    #[must_use]
    pub fn is_woken(&self) -> bool {
        self.wake.load(SeqCst) != 0
    }
}
