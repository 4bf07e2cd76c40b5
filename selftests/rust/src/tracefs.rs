// SPDX-License-Identifier: GPL-2.0
//! Reads and writes the kernel's tracing files.

use anyhow::Context;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The path of a file or folder in tracefs.
#[must_use]
pub fn path(relative: &str) -> PathBuf {
    Path::new("/sys/kernel/tracing").join(relative)
}

/// The contents of a file.
///
/// # Errors
///
/// The file does not exist (tracefs not mounted?), or may not be read.
pub fn read(relative: &str) -> anyhow::Result<String> {
    let path = path(relative);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Writes one line to a file that takes commands, such as `kprobe_events`, leaving its contents alone.
///
/// # Errors
///
/// The file does not exist or may not be written, or the kernel refuses the line.
pub fn write_line(relative: &str, line: &str) -> anyhow::Result<()> {
    let path = path(relative);
    let write = || {
        OpenOptions::new()
            .append(true)
            .open(&path)?
            .write_all(line.as_bytes())
    };
    write().with_context(|| format!("writing {line:?} to {}", path.display()))
}
