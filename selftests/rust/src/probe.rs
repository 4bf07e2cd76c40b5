// SPDX-License-Identifier: GPL-2.0
//! Counts how often a kernel function is entered, with a kprobe event.
//!
//! The event is enabled in its own tracing instance: when a probe is removed, the kernel clears the buffer of each
//! instance it was enabled in, which must not include the user's own.

use crate::tracefs;
use anyhow::Context;
use std::fs;
use std::process;

const GROUP: &str = "xfd_selftest";

/// A probe on one kernel function, from [`Probe::set`] to [`Probe::remove`].
pub struct Probe {
    event: String,
}

impl Probe {
    /// Sets a probe on `function` and starts counting.
    ///
    /// # Errors
    ///
    /// Not root, tracefs is not mounted, or the kernel lacks KPROBE_EVENTS or the function.
    pub fn set(function: &str) -> anyhow::Result<Self> {
        let event = format!("{function}_{}", process::id());
        tracefs::write_line("kprobe_events", &format!("p:{GROUP}/{event} {function}\n"))?;
        let probe = Probe { event };
        let instance = tracefs::path(&probe.instance());
        fs::create_dir(&instance)
            .inspect_err(|_| probe.remove())
            .with_context(|| instance.display().to_string())?;
        tracefs::write_line(&probe.enable_file(), "1\n").inspect_err(|_| probe.remove())?;
        Ok(probe)
    }

    /// How often the function has been entered since the probe was set.
    ///
    /// # Errors
    ///
    /// The kernel's table of probes cannot be read or lacks this one.
    pub fn hits(&self) -> anyhow::Result<u64> {
        let profile = tracefs::read("kprobe_profile")?;
        let mut lines = profile.lines().map(str::split_whitespace);
        let mut fields = lines
            .find_map(|mut fields| (fields.next()? == self.event).then_some(fields))
            .with_context(|| format!("kprobe_profile lacks {}", self.event))?;
        let hits = fields.next().context("no hit count in kprobe_profile")?;
        Ok(hits.parse()?)
    }

    /// Removes the probe.
    pub fn remove(&self) {
        // Nothing can be done about a probe that cannot be removed, and nothing depends on it.
        let _ = tracefs::write_line(&self.enable_file(), "0\n");
        let _ = fs::remove_dir(tracefs::path(&self.instance()));
        let _ = tracefs::write_line("kprobe_events", &format!("-:{GROUP}/{}\n", self.event));
    }

    fn enable_file(&self) -> String {
        format!("{}/events/{GROUP}/{}/enable", self.instance(), self.event)
    }

    fn instance(&self) -> String {
        format!("instances/{GROUP}_{}", self.event)
    }
}
