// SPDX-License-Identifier: GPL-2.0
//! Checks that each layer imports only from those below it, in the order that src/main.rs gives.

mod sources;

use sources::sources;
use std::fs;
use std::path::Path;

const LAYERS: [&str; 6] = ["workshop", "piece", "boot", "judge", "bench", "command"];

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
