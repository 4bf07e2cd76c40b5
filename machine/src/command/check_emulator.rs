// SPDX-License-Identifier: GPL-2.0
//! Tests the emulator's patches without a kernel: runs `machine/bochs/tests` on the project's emulator, as its README
//! tells a Bochs developer to.

use std::fs;

use anyhow::{Context, Result};

use crate::piece::project::Project;
use crate::workshop::count::Count;
use crate::workshop::progress::Step;

/// The name of this test in `machine check`.
pub const NAME: &str = "emulator";
const LOG: &str = "emulator-tests";

/// Runs the tests, in the root with the compilers.
///
/// # Errors
///
/// The root or the emulator cannot be built. Tests that fail are in the count.
pub fn check(project: &Project) -> Result<Count> {
    let root = project.toolroot()?;
    let emulator = project.emulator(&root)?;
    let step = Step::start(NAME, "running the tests of its patches");
    let program = emulator.program();
    let scratch = project.cache.scratch(NAME)?;
    let inside = root
        .inside()
        .read(&project.bochs().join("tests"), "/xfd/tests")
        .read(program.parent().context("the emulator has no folder")?, "/xfd/emulator")
        .write(scratch.path(), "/xfd/out");
    let mut run = inside.command("/xfd/tests/run.sh");
    run.arg("/xfd/emulator/bochs").env("TMPDIR", "/xfd/out");
    let output = run.output().context("cannot run machine/bochs/tests/run.sh")?;
    let text = [output.stdout, output.stderr].concat();
    let log = project.cache.log(LOG);
    fs::write(&log, &text).with_context(|| format!("cannot write {}", log.display()))?;
    step.done();
    Ok(count(&String::from_utf8_lossy(&text), output.status.code()))
}

/// The results in the output of `run.sh`, which ends with `status`.
fn count(text: &str, status: Option<i32>) -> Count {
    let mut count = Count::default();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("PASS", name)) => count.pass_of(name),
            Some(("FAIL", why)) => count.fail(why),
            _ => {}
        }
    }
    let expected = if count.failed > 0 { 1 } else { 0 };
    if status != Some(expected) || count.total() == 0 {
        let status = status.map_or_else(|| "a signal".to_owned(), |status| format!("status {status}"));
        let last = text.lines().last().unwrap_or("no output");
        count.fail(format!("run.sh stopped with {status}: {last}; see {LOG}.log"));
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_result() {
        let got = count("PASS 01-a\nFAIL 02-b: 0x1, expected 0x2\nnoise\n", Some(1));
        assert_eq!((got.passed, got.failed), (1, 1));
        assert_eq!(got.remarks, ["02-b: 0x1, expected 0x2"]);
    }

    #[test]
    fn an_end_before_the_last_test_is_a_failure() {
        assert_eq!(count("PASS 01-a\nld: no such file\n", Some(2)).failed, 1);
        assert_eq!(count("", Some(0)).failed, 1);
        assert_eq!(count("PASS 01-a\n", None).failed, 1);
    }
}
