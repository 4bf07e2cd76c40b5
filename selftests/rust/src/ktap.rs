// SPDX-License-Identifier: GPL-2.0
//! Test results in the format read by the kernel's own runner (Documentation/dev-tools/ktap.rst).

use std::fmt::Display;
use std::panic;
use std::process::ExitCode;

/// The result of a test that did not fail.
pub enum Outcome {
    /// It passed.
    Passed,
    /// It could not run, for this reason.
    Skipped(String),
}

/// A test: its name and its function.
pub type Test = (&'static str, fn() -> anyhow::Result<Outcome>);

/// The exit status of a kselftest program that skipped all its tests.
const KSFT_SKIP: u8 = 4;

/// Runs the tests in order and prints their results. A panic fails its test.
pub fn run(tests: &[Test]) -> ExitCode {
    run_named(tests.iter().copied())
}

/// The same for tests whose names are generated at run time.
pub fn run_named<N, T>(tests: impl ExactSizeIterator<Item = (N, T)>) -> ExitCode
where
    N: Display,
    T: FnOnce() -> anyhow::Result<Outcome>,
{
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    println!("TAP version 13\n1..{}", tests.len());
    for (number, (name, test)) in (1..).zip(tests) {
        match panic::catch_unwind(panic::AssertUnwindSafe(test)) {
            Ok(Ok(Outcome::Passed)) => {
                passed += 1;
                println!("ok {number} {name}");
            }
            Ok(Ok(Outcome::Skipped(why))) => {
                skipped += 1;
                println!("ok {number} {name} # SKIP {why}");
            }
            Ok(Err(error)) => {
                failed += 1;
                remark(format!("{error:#}"));
                println!("not ok {number} {name}");
            }
            Err(_) => {
                failed += 1;
                println!("not ok {number} {name} panicked");
            }
        }
    }
    remark(format!(
        "Totals: pass:{passed} fail:{failed} xfail:0 xpass:0 skip:{skipped} error:0"
    ));
    match (failed, passed) {
        (0, 0) => ExitCode::from(KSFT_SKIP),
        (0, _) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Reports that none of the tests can run, and why.
pub fn skip_all(why: impl Display) -> ExitCode {
    println!("TAP version 13\n1..0 # SKIP {why}");
    ExitCode::from(KSFT_SKIP)
}

/// Reports that no further results are possible, and why.
pub fn bail_out(why: impl Display) -> ExitCode {
    println!("Bail out! {why}");
    ExitCode::FAILURE
}

/// Prints a comment between the results.
pub fn remark(text: impl Display) {
    for line in text.to_string().lines() {
        println!("# {line}");
    }
}

/// Prints an exact value for comparing two machines or two kernels. `name` consists of
/// `[a-z0-9_.]`; the value is the same in every run.
pub fn answer(name: &str, value: impl Display) {
    remark(format!("answer {name} {value}"));
}
