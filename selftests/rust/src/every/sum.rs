// SPDX-License-Identifier: GPL-2.0
//! The results of a pair of a path and a disturbance.

use crate::ktap;
use anyhow::ensure;
use std::fmt::{self, Display};

/// The results of all trials of a pair.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) instructions: u64,
    pub(super) tried: u64,
    pub(super) late: u64,
    pub(super) missed: u64,
    pub(super) fell: u64,
    /// How many trials went wrong in which more than one instruction was disturbed.
    pub(super) unclear: u64,
}

impl Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sum {
            instructions,
            tried,
            late,
            missed,
            fell,
            ..
        } = self;
        let held = tried - fell;
        write!(
            f,
            "instructions {instructions}, tried {tried}, held {held}, late {late}, missed {missed}"
        )
    }
}

impl Sum {
    /// Checks the results. With `all` instructions, the disturbance must not have waited for its victim at each.
    pub(super) fn check(&self, all: bool) -> anyhow::Result<ktap::Outcome> {
        let Sum {
            tried,
            late,
            fell,
            unclear,
            ..
        } = self;
        ensure!(*tried > 0, "nothing was tried");
        ensure!(!all || late < tried, "every disturbance was late");
        ensure!(*fell == 0, "{fell} of {tried} fell");
        ensure!(
            *unclear == 0,
            "{unclear} runs with several disturbances fell"
        );
        Ok(ktap::Outcome::Passed)
    }
}
