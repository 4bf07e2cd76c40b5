// SPDX-License-Identifier: GPL-2.0
//! Waits until threads sleep, and until the module has reclaimed their buffers. The kernel's own code reclaims none, so
//! without the module this only waits until they sleep.

use crate::counters::{self, module_is_loaded};
use crate::module;
use anyhow::{ensure, Context};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// The parameter that sets the milliseconds between passes.
pub const INTERVAL: &str = "/sys/module/xfd/parameters/reclaim_ms";
const PATIENCE: Duration = Duration::from_secs(20);

/// Passes run often until this is dropped.
pub struct Passes(Option<String>);

impl Passes {
    /// Runs passes as often as possible.
    ///
    /// # Errors
    ///
    /// The module's parameter cannot be set.
    pub fn begin() -> anyhow::Result<Self> {
        Self::each(Duration::from_millis(1))
    }

    /// Runs passes at the given interval.
    ///
    /// # Errors
    ///
    /// The module's parameter cannot be set.
    pub fn each(interval: Duration) -> anyhow::Result<Self> {
        if !module_is_loaded() {
            return Ok(Passes(None));
        }
        let before = fs::read_to_string(INTERVAL).context(INTERVAL)?;
        fs::write(INTERVAL, interval.as_millis().to_string()).context(INTERVAL)?;
        Ok(Passes(Some(before)))
    }
}

impl Drop for Passes {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = fs::write(INTERVAL, before);
        }
    }
}

/// The number of buffers reclaimed so far.
///
/// # Errors
///
/// The module is loaded but has no counters.
pub fn reclaimed() -> anyhow::Result<u64> {
    match module_is_loaded() {
        true => counters::read("reclaimed"),
        false => Ok(0),
    }
}

/// Waits until `more` buffers have been reclaimed since the count was `before`.
///
/// # Errors
///
/// Reclaim takes too long.
pub fn wait_until_reclaimed(before: u64, more: u64) -> anyhow::Result<()> {
    let begin = Instant::now();
    while module_is_loaded() && reclaimed()? < before + more {
        ensure!(begin.elapsed() < PATIENCE, "no buffer was reclaimed");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether more buffers than `before` were reclaimed, or the module is gone and has given them back.
#[must_use]
pub fn taken_since(before: u64) -> bool {
    reclaimed().is_ok_and(|now| now > before) || !module::is_there()
}

/// Waits until a thread sleeps.
///
/// # Errors
///
/// The thread never sleeps, or does not exist.
pub fn wait_until_asleep(tid: i32) -> anyhow::Result<()> {
    let (path, begin) = (format!("/proc/{tid}/stat"), Instant::now());
    loop {
        let stat = fs::read_to_string(&path).context(path.clone())?;
        // The state follows the name, which is in parentheses.
        if stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('S'))
        {
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "it does not sleep: {stat}");
        thread::yield_now();
    }
}
