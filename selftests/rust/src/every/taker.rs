// SPDX-License-Identifier: GPL-2.0
//! The process that takes a path, in rounds if the path can be taken repeatedly.

use super::kind::Kind;
use super::path::Path;
use super::shared::{Shared, TAKEN_ON, WATCHED_FROM};
use super::trigger::{self, Words};
use crate::sys::{self, End};
use crate::{child, cpus, ktap};
use anyhow::{bail, ensure, Context};
use std::cell::Cell;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Rounds before a new process is started.
const ROUNDS: u32 = 500;
/// The longest that a round takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The process, from outside.
pub(super) struct Taker {
    shared: &'static Shared,
    pub(super) pid: i32,
    path: &'static str,
    round: u32,
    /// Whether it has been seen to exit.
    gone: Cell<bool>,
}

/// Kills the process, so that it does not take the path at the same time as the next one.
impl Drop for Taker {
    fn drop(&mut self) {
        if !self.gone.get() {
            sys::signal_process(self.pid, libc::SIGKILL);
            let _ = sys::wait(self.pid, 0);
        }
    }
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoundEnd {
    /// Well, and the process continues.
    Done,
    /// The process ended.
    Ended(End),
}

impl Taker {
    /// Starts the process, before its first round.
    pub(super) fn start(
        shared: &'static Shared,
        fd: i32,
        path: &Path,
        kind: Kind,
    ) -> anyhow::Result<Self> {
        shared.begin(kind);
        let pid = child::begin(|| take_rounds(shared, fd, path, kind))?;
        Ok(Taker {
            shared,
            pid,
            path: path.name,
            round: 0,
            gone: Cell::new(false),
        })
    }

    pub(super) fn takes(&self, path: &Path) -> bool {
        self.path == path.name
    }

    /// Sleeps until the next round can begin.
    pub(super) fn prepare_round(&mut self) -> anyhow::Result<()> {
        self.round += 1;
        self.shared.begin_round();
        let begin = Instant::now();
        while !self.shared.wait_until_ready(self.round) {
            if let Some(end) = self.ended()? {
                bail!("before the path: {end:?}");
            }
            if begin.elapsed() > PATIENCE {
                bail!("it cannot be prepared: {:?}", self.wait_for_end()?);
            }
        }
        Ok(())
    }

    /// Lets the round begin.
    pub(super) fn go(&self, request: Words) {
        self.shared.go(self.round, request);
    }

    /// Whether the round has ended.
    pub(super) fn round_ended(&self) -> anyhow::Result<Option<RoundEnd>> {
        match self.shared.was_done(self.round) {
            Some(true) => Ok(Some(RoundEnd::Done)),
            Some(false) => self.wait_for_end().map(|end| Some(RoundEnd::Ended(end))),
            None => Ok(self.ended()?.map(RoundEnd::Ended)),
        }
    }

    /// Waits until the round has ended.
    pub(super) fn wait_for_round(&self) -> anyhow::Result<RoundEnd> {
        match in_time(|| self.round_ended())? {
            Some(end) => Ok(end),
            None => self.wait_for_end().map(RoundEnd::Ended),
        }
    }

    /// Ends the rounds: waits for the process to exit.
    pub(super) fn end(self) -> anyhow::Result<()> {
        self.shared.end();
        let end = self.wait_for_end()?;
        ensure!(end == End::Exit(0), "after the last round: {end:?}");
        Ok(())
    }

    /// How the process ended, if it has.
    fn ended(&self) -> anyhow::Result<Option<End>> {
        match sys::wait(self.pid, libc::WNOHANG) {
            Ok((_, end)) => {
                self.gone.set(true);
                Ok(Some(end))
            }
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
            Err(error) => Err(error).context("waitpid"),
        }
    }

    /// Waits for it to exit. If it does not do so in time it is killed, which is an error.
    fn wait_for_end(&self) -> anyhow::Result<End> {
        if let Some(end) = in_time(|| self.ended())? {
            return Ok(end);
        }
        let stack = fs::read_to_string(format!("/proc/{}/stack", self.pid)).unwrap_or_default();
        ktap::remark(format!("it does not exit:\n{stack}"));
        sys::signal_process(self.pid, libc::SIGKILL);
        let (_, end) = sys::wait(self.pid, 0).context("waitpid")?;
        self.gone.set(true);
        Ok(match end {
            End::Signal(signal) => End::Stopped(signal),
            end => end,
        })
    }
}

/// What `look` finds within [`PATIENCE`].
fn in_time<T>(look: impl Fn() -> anyhow::Result<Option<T>>) -> anyhow::Result<Option<T>> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        thread::sleep(Duration::from_micros(200));
    }
    Ok(None)
}

/// The process, from inside. What `kind` moves comes from the other CPU in each round, also in the first one and after
/// one in which it was not disturbed: else the path would have another length there.
fn take_rounds(shared: &'static Shared, fd: i32, path: &Path, kind: Kind) -> anyhow::Result<()> {
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)?;
    let prepared_on = match kind {
        Kind::Migrate => WATCHED_FROM,
        _ => TAKEN_ON,
    };
    cpus::pin_to(prepared_on)?;
    let mut taken = (path.prepare)(shared, fd)?;
    for round in 1.. {
        // It may have been moved.
        cpus::pin_to(TAKEN_ON)?;
        shared.is_ready(round);
        let Some(request) = shared.wait_until_it_may_begin(round) else {
            break;
        };
        let armed = trigger::arm(request);
        taken.take();
        let fired = shared.is_over();
        ensure!(armed, "the trigger cannot be armed");
        cpus::pin_to(prepared_on)?;
        taken.check(fired)?;
        let stays = round < ROUNDS && taken.again()?;
        shared.is_done(round, stays);
        if !stays {
            break;
        }
    }
    taken.end()
}
