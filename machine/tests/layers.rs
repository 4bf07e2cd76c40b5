// SPDX-License-Identifier: GPL-2.0
//! Checks that each layer imports only from those below it, in the order that src/main.rs gives.

use std::fs;
use std::path::{Path, PathBuf};

const LAYERS: [&str; 6] = ["workshop", "piece", "boot", "judge", "bench", "command"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn imports_run_downwards() {
    let mut files = 0;
    for (height, layer) in LAYERS.iter().enumerate() {
        for file in sources(&Path::new("src").join(layer)) {
            let text = fs::read_to_string(&file).unwrap();
            for above in &LAYERS[height + 1..] {
                assert!(!text.contains(&format!("crate::{above}")), "{} imports {above}", file.display());
            }
            files += 1;
        }
    }
    assert!(files > 50, "{files}");
}
