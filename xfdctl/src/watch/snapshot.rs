// SPDX-License-Identifier: GPL-2.0
//! A single reading of everything in `/proc/xfd`.

use super::clock;
use crate::module;
use crate::module::counters::Counters;
use crate::module::tasks::{State, Thread};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// What was read. The counters and the threads were not read at the same moment.
#[derive(Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub taken: Instant,
    /// The time since boot at that moment.
    pub uptime: Duration,
    /// The counters.
    pub counters: Counters,
    /// The threads visible to this process.
    pub threads: Vec<Thread>,
}

/// The number of threads in each state.
pub type States = BTreeMap<State, u64>;

impl Snapshot {
    /// Reads the counters and threads; `None` if the module is not loaded.
    ///
    /// # Errors
    ///
    /// Fails if the module is loaded but one of its files cannot be read.
    pub fn take(root: &Path) -> anyhow::Result<Option<Self>> {
        let Some(mut snapshot) = Self::take_counters(root)? else { return Ok(None) };
        let Some(threads) = module::threads(root)? else { return Ok(None) };
        snapshot.threads = threads;
        Ok(Some(snapshot))
    }

    /// Reads the counters only.
    ///
    /// # Errors
    ///
    /// Same as for [`Snapshot::take`].
    pub fn take_counters(root: &Path) -> anyhow::Result<Option<Self>> {
        let Some(counters) = module::counters(root)? else { return Ok(None) };
        let (taken, uptime) = (Instant::now(), clock::uptime(root)?);
        Ok(Some(Self { taken, uptime, counters, threads: Vec::new() }))
    }

    /// How long the module has been in charge; `None` if it is not in charge.
    pub fn in_charge_for(&self) -> Option<Duration> {
        Some(self.uptime.saturating_sub(self.counters.in_charge_since()?))
    }
}

/// Counts `threads` by state.
pub fn states<'a>(threads: impl IntoIterator<Item = &'a Thread>) -> States {
    let mut states = States::new();
    for thread in threads {
        *states.entry(thread.state.clone()).or_default() += 1;
    }
    states
}
