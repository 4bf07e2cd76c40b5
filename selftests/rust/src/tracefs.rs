// SPDX-License-Identifier: GPL-2.0
//! Reading and writing the kernel's tracing files.

use anyhow::Context;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The path of a file or folder in tracefs.
#[must_use]
pub fn path(relative: &str) -> PathBuf {
    Path::new("/sys/kernel/tracing").join(relative)
}

/// The content of a file.
///
/// # Errors
///
/// It is not there (tracefs not mounted?), or not ours to read.
pub fn read(relative: &str) -> anyhow::Result<String> {
    let path = path(relative);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Gives one line to a file that takes commands, such as `kprobe_events`: what it holds stays.
///
/// # Errors
///
/// It is not there, not ours to write, or the kernel refuses the line.
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
