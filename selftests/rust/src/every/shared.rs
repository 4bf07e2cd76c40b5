// SPDX-License-Identifier: GPL-2.0
//! What the processes in a trial share: the taker of the path, the watcher, the disturber, and a victim.

use super::kind::Kind;
use super::trigger::{self, State, Words};
use crate::shared_memory::Shareable;
use rustix::thread::futex::{self, Flags, Timespec};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};

/// The CPU on which the path is taken.
pub const TAKEN_ON: usize = 0;
/// The CPU of the disturber and the watcher.
pub const WATCHED_FROM: usize = 1;

/// Zeroed at the start.
#[repr(C)]
pub struct Shared {
    /// The numbers of the round that is ready, the one that may begin, and the last successful one.
    ready: AtomicU32,
    go: AtomicU32,
    done: AtomicU32,
    /// Whether there can be another round after that.
    stays: AtomicU32,
    /// The words that arm the trigger for it.
    request: [AtomicU64; 8],
    pub(super) over: AtomicU32,
    pub(super) passed: AtomicU64,
    /// Whether the trigger had fired by then, and whether the pause had ended by itself.
    fired: AtomicU32,
    late: AtomicU32,
    /// Whether the path has been disturbed, and may have continued to where the trigger fires again.
    disturbed: AtomicU32,
    /// The process to disturb, if not the taker.
    victim: AtomicI32,
    /// Whether the victim may be killed, and whether anything happens to it.
    kills: AtomicU32,
    meets: AtomicU32,
    /// Whether the victim may continue.
    wake: AtomicU32,
    /// Whether the victim has done what it was woken for; a process may exit instead.
    finished: AtomicU32,
    /// Whether a process spins.
    spinning: AtomicU32,
}

// SAFETY: it consists of atomics, for which any value is valid.
#[expect(unsafe_code, reason = "the marker of shared memory is an unsafe trait")]
unsafe impl Shareable for Shared {}

/// How long to wait for a word before something else is checked.
const A_WHILE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

fn set(word: &AtomicU32, value: u32) {
    word.store(value, SeqCst);
    // Fails if the address is bad.
    let _ = futex::wake(word, Flags::empty(), u32::MAX);
}

/// Sleeps until the word is at least `value`; false if it is not yet.
fn wait(word: &AtomicU32, value: u32, at_most: Option<&Timespec>) -> bool {
    let now = word.load(SeqCst);
    if now < value {
        let _ = futex::wait(word, Flags::empty(), now, at_most);
    }
    word.load(SeqCst) >= value
}

/// No further round.
const NONE: u32 = u32::MAX;

impl Shared {
    /// Resets everything for a new process.
    pub(super) fn begin(&self, kind: Kind) {
        for word in [
            &self.ready,
            &self.go,
            &self.done,
            &self.wake,
            &self.finished,
            &self.spinning,
        ] {
            word.store(0, SeqCst);
        }
        self.victim.store(0, SeqCst);
        self.kills.store((kind == Kind::Kill).into(), SeqCst);
        self.meets.store(kind.meets_victim().into(), SeqCst);
    }

    /// Resets everything for a new round.
    pub(super) fn begin_round(&self) {
        self.over.store(0, SeqCst);
        self.passed.store(0, SeqCst);
        self.fired.store(0, SeqCst);
        self.late.store(0, SeqCst);
        self.disturbed.store(0, SeqCst);
    }

    /// Lets a round begin.
    pub(super) fn go(&self, round: u32, request: Words) {
        for (place, word) in self.request.iter().zip(request) {
            place.store(word, SeqCst);
        }
        set(&self.go, round);
    }

    /// There are no further rounds.
    pub(super) fn end(&self) {
        set(&self.go, NONE);
    }

    /// Sleeps until a round may begin, and returns what arms the trigger; `None` if there are none left.
    pub(super) fn wait_until_it_may_begin(&self, round: u32) -> Option<Words> {
        while !wait(&self.go, round, None) {}
        (self.go.load(SeqCst) != NONE)
            .then(|| self.request.each_ref().map(|word| word.load(SeqCst)))
    }

    /// Reports that a round went well; `stays` says whether there can be another.
    pub(super) fn is_done(&self, round: u32, stays: bool) {
        self.stays.store(stays.into(), SeqCst);
        self.done.store(round, SeqCst);
    }

    /// Whether a round went well and, if so, whether there can be another.
    pub(super) fn was_done(&self, round: u32) -> Option<bool> {
        (self.done.load(SeqCst) >= round).then(|| self.stays.load(SeqCst) != 0)
    }

    /// Reports that the path is being disturbed.
    pub(super) fn is_disturbed(&self) {
        self.disturbed.store(1, SeqCst);
    }

    /// Called once, on any CPU, by the process that has taken the path: disarms the trigger, and returns whether it
    /// had fired.
    pub fn is_over(&self) -> bool {
        let seen = trigger::disarm(TAKEN_ON);
        let fires = matches!(seen.state, State::Fired | State::Paused);
        let fired = fires || self.disturbed.load(SeqCst) != 0;
        self.passed.store(seen.passed, SeqCst);
        self.fired.store(fired.into(), SeqCst);
        self.late.store(seen.went_by_itself().into(), SeqCst);
        self.over.store(1, SeqCst);
        fired
    }

    /// Whether the trigger had fired by the end of the path.
    pub(super) fn has_fired(&self) -> bool {
        self.fired.load(SeqCst) != 0
    }

    /// Whether the pause had ended by itself by then: the disturbance may have come after the path, or not at all.
    #[must_use]
    pub fn was_late(&self) -> bool {
        self.late.load(SeqCst) != 0
    }

    /// Whether the path has been taken.
    #[must_use]
    pub fn was_taken(&self) -> bool {
        self.over.load(SeqCst) != 0
    }

    /// Reports that a round can begin.
    pub(super) fn is_ready(&self, round: u32) {
        set(&self.ready, round);
    }

    /// Sleeps until a round can begin; false if it cannot yet.
    pub(super) fn wait_until_ready(&self, round: u32) -> bool {
        wait(&self.ready, round, Some(&A_WHILE))
    }

    /// Sets the process to disturb.
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

    /// Whether the disturbance happens to the victim itself, or unloads the module.
    #[must_use]
    pub fn meets_victim(&self) -> bool {
        self.meets.load(SeqCst) != 0
    }

    /// Lets the victim continue.
    pub fn wake_victim(&self) {
        set(&self.wake, 1);
    }

    /// Puts the victim to sleep until then, without waking in between.
    pub fn sleep_until_woken(&self) {
        while !wait(&self.wake, 1, None) {}
    }

    /// Reports that the victim has done what it was woken for, and does not exit.
    pub fn victim_has_finished(&self) {
        set(&self.finished, 1);
    }

    /// Sleeps until the victim has finished; false if it has not yet.
    pub(super) fn wait_for_victim(&self) -> bool {
        wait(&self.finished, 1, Some(&A_WHILE))
    }

    /// Whether the victim has finished.
    pub(super) fn has_victim_finished(&self) -> bool {
        self.finished.load(SeqCst) != 0
    }

    /// Reports that this process starts spinning.
    pub fn spins(&self) {
        set(&self.spinning, 1);
    }

    /// Sleeps until a process spins; false if none does yet.
    pub fn wait_until_spinning(&self) -> bool {
        wait(&self.spinning, 1, Some(&A_WHILE))
    }

    /// Whether the victim may continue, for a victim that does not sleep.
    #[must_use]
    pub fn is_woken(&self) -> bool {
        self.wake.load(SeqCst) != 0
    }
}
