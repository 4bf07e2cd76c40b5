// SPDX-License-Identifier: GPL-2.0
//! Whole histories of a process: those in the fuzzer's corpus, and random ones.

#[path = "../fuzz/history.rs"]
mod history;

use proptest::collection;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

#[test]
fn those_that_the_fuzzer_kept() {
    // Cargo runs tests in the package's folder. A build-time path would be wrong if two checkouts
    // shared a target folder.
    let folder = Path::new("fuzz/corpus/history");
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let data = fs::read(&path).expect("a file");
        std::panic::catch_unwind(|| history::run(&data))
            .unwrap_or_else(|_| panic!("{}", path.display()));
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_history(data in collection::vec(any::<u8>(), 0..200)) {
        history::run(&data);
    }
}
