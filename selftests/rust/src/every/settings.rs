// SPDX-License-Identifier: GPL-2.0
//! Settings that paths and disturbances change.

use super::{path, workers};
use anyhow::Context;
use std::fs;

/// The files, to be restored.
const SETTINGS: [&str; 4] = [
    "/sys/module/xfd/parameters/reclaim_ms",
    "/sys/module/xfd/parameters/pool",
    "/sys/module/xfd/parameters/fail_allocations",
    workers::CPUS,
];

/// The values of [`SETTINGS`], restored whatever happens to a pair: a killed process does not restore them.
pub(super) struct Settings(Vec<(&'static str, String)>);

impl Settings {
    pub(super) fn now() -> Self {
        let there = SETTINGS
            .iter()
            .filter_map(|path| Some((*path, fs::read_to_string(path).ok()?)));
        Settings(there.collect())
    }

    pub(super) fn put_back(mut self) -> anyhow::Result<()> {
        let settings = std::mem::take(&mut self.0);
        settings
            .into_iter()
            .try_for_each(|(path, text)| fs::write(path, text).context(path))
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        for (path, text) in &self.0 {
            let _ = fs::write(path, text);
        }
        let _ = path::put_back();
    }
}
