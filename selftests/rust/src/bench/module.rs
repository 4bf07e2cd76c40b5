// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading the module, and its size.

use super::clock::{nanoseconds, Clock};
use super::report;
use crate::{cpus, module};
use anyhow::{bail, ensure, Context};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

const SIZES: &str = "/sys/module/xfd";

/// Runs a program, and reports its instructions and time, including startup.
fn timed(clock: &Clock, row: &str, program: &str, argument: &Path) -> anyhow::Result<()> {
    let (mark, begin) = (clock.mark(), nanoseconds());
    let status = Command::new(program)
        .arg(argument)
        .status()
        .context(program.to_owned())?;
    let (values, end) = (clock.since(&mark), nanoseconds());
    ensure!(
        status.success(),
        "{program} {} failed: {status}",
        argument.display()
    );
    // With more CPUs, part of the work runs on the others.
    if cpus::allowed()?.len() == 1 {
        report::values_of("module", row, clock.units()[0], &values[..1]);
    }
    report::values_of("module", row, "nanoseconds", &[end - begin]);
    Ok(())
}

/// Waits until `is_so`, and reports how long that took.
fn wait(row: &str, mut is_so: impl FnMut() -> bool) -> anyhow::Result<()> {
    let begin = nanoseconds();
    while !is_so() {
        if nanoseconds() - begin > 60_000_000_000 {
            bail!(
                "{row}: the transition does not finish: see /sys/kernel/livepatch/xfd/transition"
            );
        }
        thread::sleep(Duration::from_micros(500));
    }
    report::values_of("module", row, "nanoseconds", &[nanoseconds() - begin]);
    Ok(())
}

/// `module.insmod`, `module.enable` (from then until no task is in transition), `module.size`.
///
/// # Errors
///
/// Errors from insmod.
pub fn load(clock: &Clock, file: &Path) -> anyhow::Result<()> {
    timed(clock, "module.insmod", "insmod", file)?;
    wait("module.enable", module::is_in_charge)?;
    report::values("module.size", "file_bytes", &[fs::metadata(file)?.len()]);
    let size = fs::read_to_string(format!("{SIZES}/coresize")).context("the module's size")?;
    report::values("module.size", "memory_bytes", &[size.trim().parse()?]);
    Ok(())
}

/// `module.disable` (until no task is in transition), `module.rmmod`.
///
/// # Errors
///
/// Errors from rmmod.
pub fn unload(clock: &Clock) -> anyhow::Result<()> {
    module::disable()?;
    wait("module.disable", module::is_disabled)?;
    timed(clock, "module.rmmod", "rmmod", Path::new("xfd"))
}
