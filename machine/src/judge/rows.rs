// SPDX-License-Identifier: GPL-2.0
//! Extracts the rows of the table of answers from a program's output: its test results, and the exact values that it
//! prints as `# answer NAME VALUE`.

use std::collections::BTreeMap;

use crate::judge::style::ktap::{self, Outcome};
use crate::judge::style::kvm::{self, Verdict};
use crate::judge::style::Style;

/// Name -> value, in the order of the output. A result's value is `ok`, `FAIL` or `skip`.
pub type Rows = Vec<(String, String)>;

/// The row of a program that skips all of its tests.
pub const ALL: &str = "all";
pub const OK: &str = "ok";
pub const FAIL: &str = "FAIL";
pub const SKIP: &str = "skip";

/// The row of a program that reports only by its exit status.
const EXIT: &str = "exit";

/// The rows in a program's output. A second row of the same name is called `NAME (2)`, and so on.
pub fn of(style: Style, output: &str, status: Option<i32>) -> Rows {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let rows = match style {
        Style::Ktap => ktap_rows(output),
        Style::KernelX86 => x86_rows(output),
        Style::KernelKvm => kvm_rows(output, status),
    };
    let number = |(name, value): (String, String)| {
        let count = found.entry(name.clone()).or_insert(0);
        *count += 1;
        (if *count == 1 { name } else { format!("{name} ({count})") }, value)
    };
    rows.into_iter().map(number).collect()
}

/// `# answer NAME VALUE`
fn answer(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("# answer ")?.split_once(' ')?;
    Some((name.to_owned(), value.trim_end().to_owned()))
}

/// The leaves of KTAP, with subtests as `PARENT.CHILD`. As in `ktap`, a parent that fails without a failed child is a
/// row of its own.
fn ktap_rows(output: &str) -> Rows {
    // Indentation, name, value. An answer has no indentation, because no later result becomes its parent.
    let mut rows: Vec<(Option<usize>, String, String)> = Vec::new();
    for line in output.lines() {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        if let Some((name, value)) = answer(text) {
            rows.push((None, name, value));
        } else if let Some((0, Some(_))) = ktap::plan(text) {
            rows.push((Some(indent), ALL.into(), SKIP.into()));
        } else if let Some(result) = ktap::Result::parse(text) {
            let value = match result.outcome {
                Outcome::Passed => OK,
                Outcome::Failed(_) => FAIL,
                Outcome::Skipped(_) => SKIP,
            };
            let begin = rows.iter().rposition(|row| row.0.is_some_and(|i| i <= indent)).map_or(0, |last| last + 1);
            let mut children = 0;
            let mut failed = false;
            for row in rows[begin..].iter_mut().filter(|row| row.0.is_some()) {
                row.0 = Some(indent);
                row.1 = format!("{}.{}", result.name, row.1);
                children += 1;
                failed |= row.2 == FAIL;
            }
            if children == 0 || (value == FAIL && !failed) {
                rows.push((Some(indent), result.name, value.into()));
            }
        }
    }
    rows.into_iter().map(|(_, name, value)| (name, value)).collect()
}

/// The rows of the kernel's x86 selftests, by the marks that these print.
fn x86_rows(output: &str) -> Rows {
    let marks = [("[OK]", OK), ("[FAIL]", FAIL), ("[SKIP]", SKIP)];
    let row = |line: &str| {
        let (at, mark, value) = marks.iter().find_map(|(mark, value)| Some((line.find(mark)?, mark, value)))?;
        let text = line[at + mark.len()..].trim().trim_end_matches('.');
        Some((text.to_owned(), (*value).to_owned()))
    };
    output.lines().filter_map(row).collect()
}

/// The rows of KTAP, or one row with the verdict by the exit status.
fn kvm_rows(output: &str, status: Option<i32>) -> Rows {
    let value = match kvm::verdict(output, status) {
        None => return ktap_rows(output),
        Some(Verdict::Passed) => OK,
        Some(Verdict::Skipped(_)) => SKIP,
        Some(Verdict::Failed(_)) => FAIL,
    };
    vec![(EXIT.into(), value.into())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(style: Style, output: &str) -> Vec<String> {
        of(style, output, Some(0)).into_iter().map(|(name, value)| format!("{name} = {value}")).collect()
    }

    #[test]
    fn results_and_values_in_their_order() {
        let output = "TAP version 13\n1..4\n# answer frame.size 2816\nok 1 a\nnot ok 2 - b # exit=1\n\
                      # answer\n# answers a b\nok 3 c # SKIP no AMX\n# answer mask 0x600e7 of 64 bits \nok 4 a\n";
        assert_eq!(
            text(Style::Ktap, output),
            ["frame.size = 2816", "a = ok", "b = FAIL", "c = skip", "mask = 0x600e7 of 64 bits", "a (2) = ok"]
        );
    }

    #[test]
    fn leaves_are_named_by_their_parents() {
        let output = "1..3\nok 1 first\n  1..2\n    1..1\n    ok 1 deep\n  ok 1 x\n  # answer v 1\n  not ok 2 y\n\
                      not ok 2 suite\n  1..1\n  ok 1 z\nnot ok 3 alone\n";
        assert_eq!(
            text(Style::Ktap, output),
            ["first = ok", "suite.x.deep = ok", "v = 1", "suite.y = FAIL", "alone.z = ok", "alone = FAIL"]
        );
    }

    #[test]
    fn skipping_all_is_one_row() {
        assert_eq!(text(Style::Ktap, "1..0 # SKIP no AMX here\n"), ["all = skip"]);
        assert!(of(Style::Ktap, "hello\n", Some(0)).is_empty());
    }

    #[test]
    fn marks_are_rows() {
        let output = "[RUN]\tx\n[OK]\tValid xstate\n\t[OK]\tValid xstate\namx_64: [FAIL]\tfork..\n[SKIP]\tno\n";
        assert_eq!(
            text(Style::KernelX86, output),
            ["Valid xstate = ok", "Valid xstate (2) = ok", "fork = FAIL", "no = skip"]
        );
    }
    #[test]
    fn a_kvm_test_has_ktap_or_its_verdict() {
        let row = |output, status| of(Style::KernelKvm, output, status);
        assert_eq!(row("1..1\nok 1 a\n", Some(0)), [("a".into(), "ok".into())]);
        assert_eq!(row("1..0 # SKIP no VMX\n", Some(4)), [("all".into(), "skip".into())]);
        for (status, value) in [(Some(0), "ok"), (Some(4), "skip"), (Some(254), "FAIL"), (None, "FAIL")] {
            assert_eq!(row("hello\n", status), [("exit".into(), value.into())]);
        }
    }
}
