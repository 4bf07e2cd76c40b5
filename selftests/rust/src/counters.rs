// SPDX-License-Identifier: GPL-2.0
//! The module's own counters: one decimal number per file in debugfs.

use anyhow::Context;
use std::{env, fs};

const FOLDER: &str = "/sys/kernel/debug/xfd";

/// The counters since the module was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// First uses served: one per thread.
    pub first_uses: u64,
    /// Buffers reclaimed from threads that slept without live tiles.
    pub reclaimed: u64,
    /// Uses without permission, answered with SIGILL.
    pub denied: u64,
    /// Uses for which there was no memory, answered with SIGSEGV.
    pub failed_allocations: u64,
    /// #NMs with XFD_ERR zero, passed on to the kernel's own handler.
    pub ordinary_nm: u64,
    /// Threads currently in the handler.
    pub in_flight: u64,
    /// First uses by threads that had already had one; there must be none.
    pub repeated: u64,
}

/// Whether the test runner has loaded the module (XFD_MODULE=1 in the environment).
#[must_use]
pub fn module_is_loaded() -> bool {
    env::var_os("XFD_MODULE").is_some_and(|value| value == "1")
}

/// Whether the bugs of the stock kernel are gone: the module is loaded, or the kernel has the patches of `upstream/linux`
/// (XFD_MENDED=1 in the environment).
#[must_use]
pub fn bugs_are_mended() -> bool {
    module_is_loaded() || env::var_os("XFD_MENDED").is_some_and(|value| value == "1")
}

/// The loaded module's build ID in hexadecimal, as `readelf -n xfd.ko` shows it.
///
/// # Errors
///
/// The module is not loaded, or has no build ID.
pub fn build_id() -> anyhow::Result<String> {
    let path = "/sys/module/xfd/notes/.note.gnu.build-id";
    let note = fs::read(path).context(path)?;
    // The lengths of name and contents, the type, the name "GNU"; then the contents.
    let id = note.get(16..).context("empty build ID note")?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Counters {
    /// Reads all counters.
    ///
    /// # Errors
    ///
    /// A counter is missing, unreadable, or not a number.
    pub fn now() -> anyhow::Result<Self> {
        Ok(Counters {
            first_uses: read("first_uses")?,
            reclaimed: read("reclaimed")?,
            denied: read("denied")?,
            failed_allocations: read("failed_allocations")?,
            ordinary_nm: of_the_module("ordinary_nm")?,
            in_flight: of_the_module("in_flight")?,
            repeated: read("repeated")?,
        })
    }

    /// Each counter with its name and what it counts, in the order of the flow.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64, &'static str); 7] {
        [
            ("first_uses", self.first_uses, "threads served"),
            (
                "reclaimed",
                self.reclaimed,
                "buffers of threads that need none",
            ),
            ("denied", self.denied, "refused, SIGILL"),
            (
                "failed_allocations",
                self.failed_allocations,
                "no memory, SIGSEGV",
            ),
            ("ordinary_nm", self.ordinary_nm, "not ours, passed on"),
            ("in_flight", self.in_flight, "in the handler now"),
            ("repeated", self.repeated, "served twice: must be 0"),
        ]
    }
}

/// Reads a counter that a kernel into which the code is built does not have: ordinary #NMs go nowhere near that code,
/// and nobody waits for the threads in it.
fn of_the_module(name: &str) -> anyhow::Result<u64> {
    match fs::exists("/sys/kernel/livepatch/xfd")? {
        true => read(name),
        false => Ok(0),
    }
}

/// Reads one counter.
///
/// # Errors
///
/// The counter is missing, unreadable, or not a number.
pub fn read(name: &str) -> anyhow::Result<u64> {
    let path = format!("{FOLDER}/{name}");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    text.trim()
        .parse()
        .with_context(|| format!("{path} holds {text:?}"))
}
