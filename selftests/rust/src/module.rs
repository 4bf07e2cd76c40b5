// SPDX-License-Identifier: GPL-2.0
//! The module's own life: it is loaded, disabled, removed. In the machine only.

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

/// Whether any build of it is loaded now.
#[must_use]
pub fn is_there() -> bool {
    Path::new(FOLDER).exists()
}

/// Whether it is in charge: it is loaded, and no task is on its way in.
#[must_use]
pub fn is_in_charge() -> bool {
    fs::read_to_string(format!("{PATCH}/transition")).is_ok_and(|text| text.trim() == "0")
}

/// Whether it is disabled, and no task is on its way out; or it is not loaded.
#[must_use]
pub fn is_disabled() -> bool {
    !Path::new(PATCH).exists()
}

/// Where its code begins.
///
/// # Errors
///
/// It is not loaded; not root.
pub fn address() -> anyhow::Result<String> {
    let path = format!("{FOLDER}/sections/.text");
    fs::read_to_string(&path).context(path)
}

/// Loads a build of it: when this returns it may not be in charge yet.
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
/// It is not loaded, or the kernel does not come to it.
pub fn wait_until_in_charge() -> anyhow::Result<()> {
    wait_until("the module is not in charge", is_in_charge)
}

/// Loads the build that the tests are for, if none is loaded, and waits until it is in charge.
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

/// The build that the tests are for.
#[must_use]
pub fn path() -> String {
    std::env::var("XFD_KO").unwrap_or_else(|_| "/lib/xfd.ko".into())
}

/// Disables it: when this returns tasks may still be on their way out of it.
///
/// # Errors
///
/// It is not loaded.
pub fn disable() -> anyhow::Result<()> {
    let path = format!("{PATCH}/enabled");
    fs::write(&path, "0").context(path)
}

/// Disables and removes it, if it is there.
///
/// # Errors
///
/// Somebody holds it.
pub fn remove() -> anyhow::Result<()> {
    if !is_disabled() {
        // It may be on its way in; then this turns it around.
        disable()?;
        wait_until("the livepatch does not end", is_disabled)?;
    }
    let begin = Instant::now();
    loop {
        match rustix::system::delete_module(c"xfd", libc::O_NONBLOCK) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // A virtual CPU waits for room; a livepatch that has just ended still holds it.
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
        // It may take seconds.
        pause = (pause * 5 / 4).min(Duration::from_millis(20));
    }
    Ok(())
}
