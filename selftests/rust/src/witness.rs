// SPDX-License-Identifier: GPL-2.0
//! Who served the first uses: the module, or the kernel's C code?
//!
//! Two independent counts are compared: the module's counters, and a probe on
//! `xfd_enable_feature()` (arch/x86/kernel/fpu/xstate.c), which the C path enters once for each use
//! it serves or refuses. Without the module the probe must fire, which proves that the probe itself works.

use crate::counters::{module_is_loaded, Counters};
use crate::ktap;
use crate::probe::Probe;
use anyhow::{bail, ensure};
use std::sync::OnceLock;

/// The counts at the start of the interval under test.
pub struct Witness {
    counters: Option<Counters>,
    entered: Option<u64>,
}

/// A single probe for the whole program, since the kernel takes a while to set one.
static PROBE: OnceLock<Option<Probe>> = OnceLock::new();

fn probe() -> Option<&'static Probe> {
    PROBE
        .get_or_init(|| match Probe::set("xfd_enable_feature") {
            Ok(probe) => Some(probe),
            Err(error) => {
                ktap::remark(format!("the C path is not probed: {error:#}"));
                None
            }
        })
        .as_ref()
}

impl Witness {
    /// Records the counts.
    ///
    /// # Errors
    ///
    /// XFD_MODULE=1, and a count is not available. Without the module it may be missing, since an
    /// ordinary user cannot set a probe.
    pub fn begin() -> anyhow::Result<Self> {
        let entered = probe().map(Probe::hits).transpose()?;
        if !module_is_loaded() {
            return Ok(Witness {
                counters: None,
                entered,
            });
        }
        if entered.is_none() {
            bail!("XFD_MODULE=1, but xfd_enable_feature() cannot be probed");
        }
        Ok(Witness {
            counters: Some(Counters::now()?),
            entered,
        })
    }

    /// Whether there will be anything to compare at the end.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.entered.is_none()
    }

    /// Verifies that since [`Witness::begin`] exactly these numbers of first uses were served and
    /// refused, once each, and only by the module if loaded, else by the C code.
    ///
    /// # Errors
    ///
    /// A count differs.
    pub fn end(&self, first_uses: u64, denied: u64) -> anyhow::Result<()> {
        let entered = match (self.entered, probe()) {
            (Some(before), Some(probe)) => Some(probe.hits()? - before),
            _ => None,
        };
        let Some(before) = self.counters else {
            if let Some(entered) = entered {
                ensure!(
                    entered == first_uses + denied,
                    "xfd_enable_feature() entered {entered} times, expected {first_uses} + {denied}"
                );
            }
            return Ok(());
        };
        let now = Counters::now()?;
        let served = now.first_uses - before.first_uses;
        let refused = now.denied - before.denied;
        ensure!(
            served == first_uses,
            "first_uses rose by {served}, expected {first_uses}"
        );
        ensure!(
            refused == denied,
            "denied rose by {refused}, expected {denied}"
        );
        ensure!(
            entered == Some(0),
            "the C code was entered: {entered:?} times"
        );
        ensure!(now.repeated == 0, "repeated is {}", now.repeated);
        ensure!(now.in_flight == 0, "in_flight is {}", now.in_flight);
        ensure!(
            now.failed_allocations == before.failed_allocations,
            "failed_allocations rose to {}",
            now.failed_allocations
        );
        Ok(())
    }
}

/// Removes the probe, if one was set. Must be called before the program exits, since a static is never dropped.
pub fn dismiss() {
    if let Some(Some(probe)) = PROBE.get() {
        probe.remove();
    }
}
