// SPDX-License-Identifier: GPL-2.0
//! One trial: a process takes the path on one CPU, and stops at one of its instructions until the disturbance has
//! done its work from the other CPU.

use super::disturbance::{Disturber, Kind, Until};
use super::path::Path;
use super::trigger::{self, Action, Event, Seen, State};
use crate::counters::{module_is_loaded, Counters};
use crate::shared_memory::{self, Shareable};
use crate::sys::{self, End};
use crate::{child, cpus, ktap};
use anyhow::{bail, ensure, Context};
use std::fs;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Where the path is taken.
pub const TAKEN_ON: usize = 0;
/// Where the disturbance, and who watches, run.
pub const WATCHED_FROM: usize = 1;

/// What the process that takes the path and the one that watches share. All zero at the start.
#[repr(C)]
pub struct Shared {
    ready: AtomicU32,
    go: AtomicU32,
    over: AtomicU32,
    passed: AtomicU64,
    /// Whatever a path needs to remember over exec, or to tell.
    pub note: AtomicU64,
}

// SAFETY: atomics alone.
#[allow(unsafe_code)]
unsafe impl Shareable for Shared {}

impl Shared {
    /// The path has been taken, by this process: disarms the trigger. Once, from whatever CPU.
    pub fn is_over(&self) {
        let seen = trigger::disarm(TAKEN_ON);
        self.passed.store(seen.passed, SeqCst);
        self.over.store(1, SeqCst);
    }
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
        Ok(Watch { shared, fd })
    }

    /// Takes `path` once, which begins with `start`, disturbed by `disturber` after `after` instructions.
    ///
    /// # Errors
    ///
    /// It could not be prepared, or not be disturbed.
    pub fn take(
        &self,
        path: &Path,
        start: Event,
        disturber: &mut Disturber,
        after: u64,
    ) -> anyhow::Result<Trial> {
        let shared = self.shared;
        for word in [&shared.ready, &shared.go, &shared.over] {
            word.store(0, SeqCst);
        }
        shared.passed.store(0, SeqCst);
        shared.note.store(0, SeqCst);
        let before = Account::now()?;
        let at_most = disturber.kind().ticks();
        let pid = child::begin(|| {
            cpus::pin_to(TAKEN_ON)?;
            let mut path = (path.prepare)(shared, self.fd)?;
            shared.ready.store(1, SeqCst);
            while shared.go.load(SeqCst) == 0 {
                std::hint::spin_loop();
            }
            let armed = trigger::arm(start, after, Action::Pause { at_most });
            path.take();
            shared.is_over();
            ensure!(armed, "the trigger can not be armed");
            path.check()
        })?;
        while shared.ready.load(SeqCst) == 0 {
            if let Some(end) = ended(pid)? {
                bail!("before the path: {end:?}");
            }
            cpus::give_way();
        }
        shared.go.store(1, SeqCst);
        let mut early = Ok(());
        let (end, fired) = loop {
            let seen = trigger::look(TAKEN_ON);
            if seen.state == State::Paused {
                disturber.disturb(pid)?;
                if disturber.kind().until() == Until::Done {
                    early = disturber.finish();
                }
                if disturber.kind().until() != Until::TimeIsOver {
                    trigger::let_go(TAKEN_ON);
                }
                break (wait_or_kill(pid)?, Some(seen));
            }
            if let Some(end) = ended(pid)? {
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
        let kind = disturber.kind();
        let wrong = disturbed
            .and_then(|()| {
                let right = match (kind, fired) {
                    // What ends by itself may have ended before.
                    (Kind::Kill, Some(_)) if path.name != "exit" && !last.went_by_itself() => {
                        end == KILLED
                    }
                    (Kind::Kill, Some(_)) => end == KILLED || end == End::Exit(0),
                    _ => end == End::Exit(0),
                };
                ensure!(right, "it ended with {end:?}");
                Ok(())
            })
            .and_then(|()| before.check());
        Ok(Trial { outcome, wrong })
    }
}

const KILLED: End = End::Signal(libc::SIGKILL);

/// How it ended, if it has.
fn ended(pid: i32) -> anyhow::Result<Option<End>> {
    match sys::wait(pid, libc::WNOHANG) {
        Ok((_, end)) => Ok(Some(end)),
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
        Err(error) => Err(error).context("waitpid"),
    }
}

/// Waits for its end; one that has not come by then is killed, and is none that is right.
fn wait_or_kill(pid: i32) -> anyhow::Result<End> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(end) = ended(pid)? {
            return Ok(end);
        }
        thread::sleep(Duration::from_micros(200));
    }
    let stack = fs::read_to_string(format!("/proc/{pid}/stack")).unwrap_or_default();
    ktap::remark(format!("it does not end:\n{stack}"));
    sys::signal_process(pid, libc::SIGKILL);
    let (_, end) = sys::wait(pid, 0).context("waitpid")?;
    Ok(match end {
        End::Signal(signal) => End::Stopped(signal),
        end => end,
    })
}

const PATIENCE: Duration = Duration::from_secs(30);

/// What the kernel and the module say of themselves.
struct Account {
    tainted: String,
    warnings: String,
    counters: Option<Counters>,
}

impl Account {
    fn now() -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
        Ok(Account {
            tainted: read("/proc/sys/kernel/tainted")?,
            warnings: read("/sys/kernel/warn_count")?,
            counters: module_is_loaded().then(Counters::now).transpose()?,
        })
    }

    /// Nothing has gone wrong since.
    fn check(&self) -> anyhow::Result<()> {
        check_xfd()?;
        let now = Self::now()?;
        ensure!(
            now.tainted == self.tainted && now.warnings == self.warnings,
            "tainted {} (was {}), warnings {} (were {}): see the kernel log",
            now.tainted.trim(),
            self.tainted.trim(),
            now.warnings.trim(),
            self.warnings.trim()
        );
        let (Some(before), Some(now)) = (self.counters, now.counters) else {
            return Ok(());
        };
        ensure!(now.in_flight == 0, "in_flight is {}", now.in_flight);
        ensure!(now.repeated == 0, "repeated is {}", now.repeated);
        ensure!(
            now.failed_allocations == before.failed_allocations,
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
