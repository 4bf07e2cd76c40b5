// SPDX-License-Identifier: GPL-2.0
//! Finds the files that tests of the source read.

use std::fs;
use std::path::{Path, PathBuf};

/// All files below `folder`.
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}
