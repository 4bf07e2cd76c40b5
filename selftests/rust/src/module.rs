// SPDX-License-Identifier: GPL-2.0
//! Loads, disables and unloads the module. In the machine only.

use crate::machine;
use anyhow::{bail, ensure, Context};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const PATCH: &str = "/sys/kernel/livepatch/xfd";
const FOLDER: &str = "/sys/module/xfd";
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether any build of it is loaded.
#[must_use]
pub fn is_there() -> bool {
    Path::new(FOLDER).exists()
}

/// Whether it is in charge: loaded and enabled, with no task still in transition.
#[must_use]
pub fn is_in_charge() -> bool {
    is_enabled() && says("transition", "0")
}

/// Whether it is loaded and enabled; tasks may still be in transition.
fn is_enabled() -> bool {
    says("enabled", "1")
}

fn says(attribute: &str, value: &str) -> bool {
    fs::read_to_string(format!("{PATCH}/{attribute}")).is_ok_and(|text| text.trim() == value)
}

/// Whether it is disabled, with no task still in transition, or not loaded.
#[must_use]
pub fn is_disabled() -> bool {
    !Path::new(PATCH).exists()
}

/// The address of its code.
///
/// # Errors
///
/// It is not loaded, or the caller is not root.
pub fn address() -> anyhow::Result<String> {
    let path = format!("{FOLDER}/sections/.text");
    fs::read_to_string(&path).context(path)
}

/// Loads a build of it. It may not be in charge yet when this returns.
///
/// # Errors
///
/// The kernel or the module refuses.
pub fn insert(path: &str, parameters: &CStr) -> anyhow::Result<()> {
    ensure!(machine::is_here(), "loads modules in the machine only");
    machine::load(path, parameters)
}

/// Waits until it is in charge.
///
/// # Errors
///
/// It is not loaded, or the transition does not finish.
pub fn wait_until_in_charge() -> anyhow::Result<()> {
    wait_until("the module is not in charge", is_in_charge)
}

/// Loads the build under test unless one is loaded, and waits until it is in charge.
///
/// # Errors
///
/// The kernel or the module refuses.
pub fn load() -> anyhow::Result<()> {
    if !is_there() {
        insert(&path(), c"")?;
    }
    wait_until_in_charge()
}

/// The build under test.
#[must_use]
pub fn path() -> String {
    std::env::var("XFD_KO").unwrap_or_else(|_| "/lib/xfd.ko".into())
}

/// Disables it. Tasks may still be in transition when this returns.
///
/// # Errors
///
/// It is not loaded.
pub fn disable() -> anyhow::Result<()> {
    let path = format!("{PATCH}/enabled");
    fs::write(&path, "0").context(path)
}

/// Disables and unloads it, if loaded.
///
/// # Errors
///
/// Something holds a reference to it.
pub fn remove() -> anyhow::Result<()> {
    // Somebody may have been killed between disabling and removing it.
    if is_enabled() {
        // If it is still being enabled, this reverses the transition.
        disable()?;
    }
    wait_until("the livepatch is not disabled", is_disabled)?;
    let begin = Instant::now();
    loop {
        match rustix::system::delete_module(c"xfd", libc::O_NONBLOCK) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // EAGAIN while something holds a reference to it, EBUSY right after the livepatch has ended.
            Err(Errno::AGAIN | Errno::BUSY) if begin.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => bail!("delete_module: {error}"),
        }
    }
}

fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) -> anyhow::Result<()> {
    let (begin, mut pause) = (Instant::now(), Duration::from_micros(500));
    while !is_true() {
        ensure!(begin.elapsed() < PATIENCE, "{what}");
        thread::sleep(pause);
        // This may take seconds.
        pause = (pause * 5 / 4).min(Duration::from_millis(20));
    }
    Ok(())
}
