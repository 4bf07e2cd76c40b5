// SPDX-License-Identifier: GPL-2.0
//! One trial: a process takes the path on one CPU, and is paused at one of its instructions until the other CPU has
//! disturbed it.

use super::disturbance::Disturber;
use super::kind::{Kind, Until};
use super::path::Path;
use super::shared::{Shared, TAKEN_ON, WATCHED_FROM};
use super::taker::{RoundEnd, Taker, PATIENCE};
use super::trigger::{self, Action, Event, Request, Seen, State};
use crate::shared_memory;
use crate::sys::{self, End};
use crate::{counters, cpus, module};
use anyhow::{bail, ensure, Context};
use std::cell::RefCell;
use std::fs;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

/// Where a path's instructions are.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where counting starts.
    pub event: Event,
    /// Only instructions at these addresses count.
    pub within: Option<RangeInclusive<u64>>,
}

/// The outcome of a trial.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// The path was disturbed.
    Disturbed,
    /// The path ended first, after this many instructions.
    TooLate(u64),
    /// Its CPU was paused there, but continued before the watcher saw it.
    NotSeen,
}

/// A completed trial.
pub struct Trial {
    /// Its outcome.
    pub outcome: Outcome,
    /// Where the path was disturbed. Only the last disturbance may be late.
    pub seen: Vec<Seen>,
    /// With a gap, how many instructions the path had, if it was counted to its end.
    pub length: Option<u64>,
    /// Any difference from an undisturbed path.
    pub wrong: anyhow::Result<()>,
}

/// How often a path is disturbed while it runs once, at most.
pub const SEVERAL: usize = 16;
/// A gap longer than any path.
const TO_THE_END: u64 = 1 << 62;

/// The polling interval: a fraction of the path's length, at least this, and at most this part of a pause.
const SOON: Duration = Duration::from_micros(20);
const PART: u64 = 4;

/// What all of a program's trials share: the watcher.
pub struct Watch {
    shared: &'static Shared,
    fd: i32,
    taker: RefCell<Option<Taker>>,
    /// The state after the last trial.
    account: RefCell<Option<Account>>,
}

impl Watch {
    /// Moves the calling process to the second CPU, where it stays.
    ///
    /// # Errors
    ///
    /// There is only one CPU, or no memory.
    pub fn new() -> anyhow::Result<Self> {
        cpus::pin_to(WATCHED_FROM)?;
        // Sleeps must take exactly as long as requested: a timer slack of 1 ns.
        sys::prctl(libc::PR_SET_TIMERSLACK, 1)?;
        let (shared, fd) = shared_memory::create()?;
        Ok(Watch {
            shared,
            fd,
            taker: RefCell::default(),
            account: RefCell::default(),
        })
    }

    /// To be called after the last trial of a path.
    ///
    /// # Errors
    ///
    /// The taker did not end as it should.
    pub fn end(&self) -> anyhow::Result<()> {
        self.taker.take().map_or(Ok(()), Taker::end)
    }

    /// To be called after a pair that ended early.
    pub fn forget(&self) {
        drop(self.taker.take());
        self.account.take();
    }

    /// What a [`Disturber`] needs.
    #[must_use]
    pub fn shared(&self) -> &'static Shared {
        self.shared
    }

    /// Takes `path`, which is at `place`, once, disturbed by `disturber` after `after` instructions and, with a `gap`, again
    /// after each further `gap` instructions, at least one: [`SEVERAL`] times, until the path ends or until one is late.
    ///
    /// # Errors
    ///
    /// The path could not be prepared or disturbed.
    pub fn take(
        &self,
        path: &Path,
        place: &Place,
        disturber: &mut Disturber,
        after: u64,
        gap: Option<u64>,
    ) -> anyhow::Result<Trial> {
        let shared = self.shared;
        let kind = disturber.kind();
        let kills = kind == Kind::Kill;
        let until = disturber.until();
        let mut taker = match self.taker.take() {
            Some(taker) if taker.takes(path) && !kills => taker,
            other => {
                other.map_or(Ok(()), Taker::end)?;
                Taker::start(shared, self.fd, path, kind)?
            }
        };
        let before = self.account.take().map_or_else(Account::now, Ok)?;
        taker.prepare_round()?;
        let victim = shared.victim();
        let at_most = path.ticks.unwrap_or(kind.ticks());
        let request = Request {
            cpu: TAKEN_ON,
            event: place.event,
            after,
            action: Action::Pause { at_most },
            within: place.within.clone(),
        };
        taker.go(request.words());
        let mut begin = Instant::now();
        let later = Duration::from_nanos(at_most / PART / trigger::TICKS_PER_NANOSECOND);
        let mut early = Ok(());
        let mut disturbed_at = Vec::new();
        let end = loop {
            let seen = trigger::look(TAKEN_ON);
            if seen.state == State::Paused {
                shared.is_disturbed();
                disturbed_at.push(seen);
                // The taker is always the one moved, whichever process is disturbed otherwise.
                let victim = victim.filter(|_| kind != Kind::Migrate);
                disturber.disturb(victim.unwrap_or(taker.pid))?;
                if until == Until::Done {
                    early = disturber.finish();
                }
                let again = early.is_ok() && disturbed_at.len() < SEVERAL;
                let further = gap.map(|gap| if again { gap } else { TO_THE_END });
                if further.is_some_and(|gap| trigger::pause_again(TAKEN_ON, gap, at_most)) {
                    begin = Instant::now();
                    continue;
                }
                if until != Until::TimeIsOver {
                    trigger::let_go(TAKEN_ON);
                }
                break taker.wait_for_round()?;
            }
            if let Some(end) = taker.round_ended()? {
                break end;
            }
            if begin.elapsed() > PATIENCE {
                break taker.wait_for_round()?;
            }
            // The paused CPU waits, and an idle CPU costs the emulator nothing.
            thread::sleep((begin.elapsed() / 8).clamp(SOON, later));
        };
        let last = trigger::disarm(TAKEN_ON);
        let disturbed = early.and(disturber.finish());
        let passed = match shared.was_taken() {
            true => shared.passed.load(SeqCst),
            false => last.passed,
        };
        // Only now it is known whether it was let go, if that was its last pause.
        if let Some(seen) = disturbed_at
            .last_mut()
            .filter(|seen| seen.passed == last.passed)
        {
            seen.flags |= last.flags;
        }
        let is_disturbed = !disturbed_at.is_empty();
        let outcome = match is_disturbed {
            true => Outcome::Disturbed,
            false if shared.has_fired() => Outcome::NotSeen,
            false => Outcome::TooLate(passed),
        };
        let length = match (gap, disturbed_at.last()) {
            // It counted on, and not to another pause, which ended before it was seen.
            (Some(gap), Some(seen)) if passed > seen.passed && passed != seen.passed + gap => {
                Some(passed)
            }
            _ => None,
        };
        // Whatever went wrong, the next trial must start from the same state.
        let put_back = disturber.put_back();
        let checked = Account::now().and_then(|now| {
            let checked = now.check(&before, path.starves);
            self.account.replace(Some(now));
            checked
        });
        let wrong = disturbed
            .and_then(|()| {
                let well = matches!(end, RoundEnd::Done | RoundEnd::Ended(End::Exit(0)));
                let right = match kind {
                    Kind::Kill if !is_disturbed || victim.is_some() => well,
                    Kind::Kill if path.name != "exit" && !last.went_by_itself() => end == KILLED,
                    // A process that exits on its own may have done so first.
                    Kind::Kill => end == KILLED || well,
                    _ => well,
                };
                ensure!(right, "it ended with {end:?}");
                Ok(())
            })
            .and(put_back)
            .and(checked);
        if end == RoundEnd::Done {
            self.taker.replace(Some(taker));
        }
        Ok(Trial {
            outcome,
            seen: disturbed_at,
            length,
            wrong,
        })
    }
}

const KILLED: RoundEnd = RoundEnd::Ended(End::Signal(libc::SIGKILL));

/// The kernel's livepatch taint, which the first load sets.
const LIVEPATCH: u64 = 1 << 15;

const WARN_AGAIN: &str = "/sys/kernel/debug/clear_warn_once";

/// What the kernel and the module report about themselves. Kept short, since every trial reads it.
struct Account {
    tainted: u64,
    warnings: u64,
    module: Option<OfModule>,
}

#[derive(Clone, Copy)]
struct OfModule {
    in_flight: u64,
    repeated: u64,
    failed_allocations: u64,
}

impl Account {
    fn now() -> anyhow::Result<Self> {
        let number = |path: &str| -> anyhow::Result<u64> {
            let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
            text.trim().parse().with_context(|| path.to_owned())
        };
        let of_module = || -> anyhow::Result<OfModule> {
            Ok(OfModule {
                in_flight: counters::read("in_flight")?,
                repeated: counters::read("repeated")?,
                failed_allocations: counters::read("failed_allocations")?,
            })
        };
        Ok(Account {
            tainted: number("/proc/sys/kernel/tainted")? & !LIVEPATCH,
            warnings: number("/sys/kernel/warn_count")?,
            module: module::is_there().then(of_module).transpose()?,
        })
    }

    /// Checks that nothing has gone wrong since `before`.
    fn check(&self, before: &Account, starves: bool) -> anyhow::Result<()> {
        check_xfd()?;
        if self.warnings != before.warnings {
            // Makes the next warning from the same place appear too.
            let _ = fs::write(WARN_AGAIN, "1");
        }
        ensure!(
            self.tainted == before.tainted && self.warnings == before.warnings,
            "tainted {} (was {}), warnings {} (were {}): see the kernel log",
            self.tainted,
            before.tainted,
            self.warnings,
            before.warnings
        );
        let (Some(before), Some(now)) = (before.module, self.module) else {
            return Ok(());
        };
        ensure!(now.in_flight == 0, "in_flight is {}", now.in_flight);
        ensure!(now.repeated == 0, "repeated is {}", now.repeated);
        ensure!(
            starves || now.failed_allocations <= before.failed_allocations,
            "failed_allocations rose"
        );
        Ok(())
    }
}

/// Checks that on each CPU the copy of IA32_XFD equals the register, and that IA32_XFD_ERR is 0.
fn check_xfd() -> anyhow::Result<()> {
    let path = "/sys/module/interrupts/parameters/xfd";
    let text = fs::read_to_string(path).context(path)?;
    for line in text.lines() {
        let [_, register, copy, error] = line.split(' ').collect::<Vec<_>>()[..] else {
            bail!("{path}: {line}");
        };
        ensure!(
            register == copy && error == "0x0",
            "CPU, IA32_XFD, its copy, IA32_XFD_ERR: {line}"
        );
    }
    let cpus = text.lines().count();
    ensure!(cpus > WATCHED_FROM, "{path} has {cpus} CPUs");
    Ok(())
}
