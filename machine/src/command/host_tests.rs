// SPDX-License-Identifier: GPL-2.0
//! Runs the tests on the host: `cargo test` of each crate.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::workshop::cache::Cache;
use crate::workshop::child::{require, Log};
use crate::workshop::count::{Case, Count, Outcome};
use crate::workshop::progress::Step;

/// The crates with host tests.
pub const CRATES: [&str; 4] = ["machine", "rust/xstate", "rust/xcomp", "xfdctl"];

/// Runs and counts the tests of one crate; a crate that is missing or does not build is a failure.
pub fn run(cache: &Cache, project: &Path, name: &str) -> Result<Count> {
    require("cargo")?;
    require("cc")?;
    let step = Step::start("host tests", &format!("cargo test for {name}"));
    let log = Log::create(cache.log(&format!("host-tests-{}", name.replace('/', "-"))))?;
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--release", "--locked", "--no-fail-fast", "--manifest-path"]);
    cargo.arg(project.join(name).join("Cargo.toml"));
    cargo.env("CARGO_TARGET_DIR", cache.root().join("cargo")).env("CARGO_TERM_COLOR", "never");
    let ended = log.run(&format!("cargo test for {name}"), &mut cargo);
    let text = std::fs::read_to_string(log.path())?;
    let mut count = count(name, &text);
    if let (Err(e), 0) = (ended, count.failed) {
        count.fail(format!("{e:#}"));
    }
    step.done();
    Ok(count)
}

/// Counts the results in the output of libtest.
fn count(name: &str, text: &str) -> Count {
    let mut count = Count::default();
    let mut summaries = 0;
    for line in text.lines() {
        if line.starts_with("test result: ") {
            summaries += 1;
            count.passed += number_before(line, " passed");
        } else if let Some(test) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... ok")) {
            count.cases.push(Case { name: format!("{name}: {test}"), outcome: Outcome::Passed });
        } else if let Some(test) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            count.fail(format!("{name}: {test}"));
        } else if let Some((test, why)) = line.strip_prefix("test ").and_then(|l| l.split_once(" ... ignored")) {
            count.skip(format!("{name}: {test}: skipped{why}"));
        }
    }
    if summaries == 0 || count.total() == 0 {
        count.fail(format!("{name}: no test ran"));
    }
    count
}

fn number_before(line: &str, word: &str) -> usize {
    let before = line.split_once(word).map(|(before, _)| before).unwrap_or_default();
    before.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_failed_and_ignored_tests_are_counted() {
        let text = "test a ... ok\ntest b ... FAILED\ntest c ... ignored, needs AMX\n\
                    test result: FAILED. 12 passed; 1 failed; 1 ignored; 0 measured\n\
                    test src/lib.rs - x (line 3) ... ok\ntest result: ok. 3 passed; 0 failed; 0 ignored\n";
        let count = count("crate", text);
        assert_eq!((count.passed, count.failed, count.skipped), (15, 1, 1));
        assert_eq!(count.remarks, ["crate: b", "crate: c: skipped, needs AMX"]);
    }

    #[test]
    fn no_tests_is_a_failure() {
        assert_eq!(count("crate", "error: could not compile\n").failed, 1);
        assert_eq!(count("crate", "test result: ok. 0 passed; 0 failed; 0 ignored\n").failed, 1);
    }
}
