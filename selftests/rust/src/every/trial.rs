// SPDX-License-Identifier: GPL-2.0
//! One trial: a process takes the path on one CPU, and stops at one of its instructions until the disturbance has
//! done its work from the other CPU.

use super::disturbance::{Disturber, Kind, Until};
use super::path::Path;
use super::shared::{Shared, TAKEN_ON, WATCHED_FROM};
use super::taker::{RoundEnd, Taker};
use super::trigger::{self, Action, Event, Request, Seen, State};
use crate::counters::Counters;
use crate::shared_memory;
use crate::sys::End;
use crate::{cpus, module};
use anyhow::{bail, ensure, Context};
use std::cell::RefCell;
use std::fs;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering::SeqCst;

/// Where a path's instructions are.
#[derive(Clone, Debug)]
pub struct Place {
    /// From where they are counted.
    pub event: Event,
    /// Only these count.
    pub within: Option<RangeInclusive<u64>>,
}

/// What came of a trial.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It was disturbed, there.
    Disturbed(Seen),
    /// The path ended before, after so many instructions.
    TooLate(u64),
}

/// A trial that was made.
pub struct Trial {
    /// What came of it.
    pub outcome: Outcome,
    /// What is not as it would be without the disturbance.
    pub wrong: anyhow::Result<()>,
}

/// What all trials of a program share.
pub struct Watch {
    shared: &'static Shared,
    fd: i32,
    taker: RefCell<Option<Taker>>,
}

impl Watch {
    /// For a process that has an enabled second CPU, and stays on it from here on.
    ///
    /// # Errors
    ///
    /// There is one CPU only; no memory.
    pub fn new() -> anyhow::Result<Self> {
        cpus::pin_to(WATCHED_FROM)?;
        let (shared, fd) = shared_memory::create()?;
        Ok(Watch {
            shared,
            fd,
            taker: RefCell::default(),
        })
    }

    /// After the last trial of a path.
    ///
    /// # Errors
    ///
    /// Whoever took it did not end as it should.
    pub fn end(&self) -> anyhow::Result<()> {
        self.taker.take().map_or(Ok(()), Taker::end)
    }

    /// For a [`Disturber`].
    #[must_use]
    pub fn shared(&self) -> &'static Shared {
        self.shared
    }

    /// Takes `path` once, which is at `place`, disturbed by `disturber` after `after` instructions.
    ///
    /// # Errors
    ///
    /// It could not be prepared, or not be disturbed.
    pub fn take(
        &self,
        path: &Path,
        place: &Place,
        disturber: &mut Disturber,
        after: u64,
    ) -> anyhow::Result<Trial> {
        let shared = self.shared;
        let kind = disturber.kind();
        let kills = kind == Kind::Kill;
        let mut taker = match self.taker.take() {
            Some(taker) if taker.takes(path) && !kills => taker,
            other => {
                other.map_or(Ok(()), Taker::end)?;
                Taker::start(shared, self.fd, path, kills)?
            }
        };
        let before = Account::now()?;
        taker.prepare_round()?;
        let victim = shared.victim();
        let request = Request {
            cpu: TAKEN_ON,
            event: place.event,
            after,
            action: Action::Pause {
                at_most: kind.ticks(),
            },
            within: place.within.clone(),
        };
        taker.go(request.words());
        let mut early = Ok(());
        let (end, fired) = loop {
            let seen = trigger::look(TAKEN_ON);
            if seen.state == State::Paused {
                disturber.disturb(victim.unwrap_or(taker.pid))?;
                if kind.until() == Until::Done {
                    early = disturber.finish();
                }
                if kind.until() != Until::TimeIsOver {
                    trigger::let_go(TAKEN_ON);
                }
                break (taker.wait_for_round()?, Some(seen));
            }
            if let Some(end) = taker.round_ended()? {
                break (end, None);
            }
        };
        let last = trigger::disarm(TAKEN_ON);
        let disturbed = early.and(disturber.finish());
        let passed = match shared.over.load(SeqCst) {
            1 => shared.passed.load(SeqCst),
            _ => last.passed,
        };
        let outcome = match fired {
            // What is known afterwards is more: whether it was let go.
            Some(seen) => Outcome::Disturbed(Seen {
                flags: seen.flags | last.flags,
                ..seen
            }),
            None => Outcome::TooLate(passed),
        };
        let wrong = disturbed
            .and_then(|()| {
                let well = matches!(end, RoundEnd::Done | RoundEnd::Ended(End::Exit(0)));
                let right = match (kind, fired) {
                    (Kind::Kill, Some(_)) if victim.is_some() => well,
                    (Kind::Kill, Some(_)) if path.name != "exit" && !last.went_by_itself() => {
                        end == KILLED
                    }
                    // What ends by itself may have ended before.
                    (Kind::Kill, Some(_)) => end == KILLED || well,
                    _ => well,
                };
                ensure!(right, "it ended with {end:?}");
                Ok(())
            })
            .and_then(|()| disturber.put_back())
            .and_then(|()| before.check(path.starves));
        if end == RoundEnd::Done {
            self.taker.replace(Some(taker));
        }
        Ok(Trial { outcome, wrong })
    }
}

const KILLED: RoundEnd = RoundEnd::Ended(End::Signal(libc::SIGKILL));

/// The kernel's taint by a livepatch: it comes with the first load.
const LIVEPATCH: u64 = 1 << 15;

const WARN_AGAIN: &str = "/sys/kernel/debug/clear_warn_once";

/// What the kernel and the module say of themselves.
struct Account {
    tainted: u64,
    warnings: String,
    counters: Option<Counters>,
}

impl Account {
    fn now() -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
        Ok(Account {
            tainted: read("/proc/sys/kernel/tainted")?.trim().parse::<u64>()? & !LIVEPATCH,
            warnings: read("/sys/kernel/warn_count")?,
            counters: module::is_there().then(Counters::now).transpose()?,
        })
    }

    /// Nothing has gone wrong since.
    fn check(&self, starves: bool) -> anyhow::Result<()> {
        check_xfd()?;
        let now = Self::now()?;
        if now.warnings != self.warnings {
            // What warns once does so at the next instruction, too; without debugfs at this one alone.
            let _ = fs::write(WARN_AGAIN, "1");
        }
        ensure!(
            now.tainted == self.tainted && now.warnings == self.warnings,
            "tainted {} (was {}), warnings {} (were {}): see the kernel log",
            now.tainted,
            self.tainted,
            now.warnings.trim(),
            self.warnings.trim()
        );
        let (Some(before), Some(now)) = (self.counters, now.counters) else {
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

/// On each CPU the copy of IA32_XFD says what is in the register, and no #NM is reported any more.
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
