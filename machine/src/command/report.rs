// SPDX-License-Identifier: GPL-2.0
//! Writes the results to a file for a CI system, as JUnit XML or TAP. Each boot is a suite, and each test a case.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::command::check::Row;
use crate::workshop::count::{Count, Outcome};

/// How many bytes of a program's output, from the end, are shown with its failures.
const SHOWN: usize = 8000;

/// The files to write.
#[derive(Clone, Args, Default)]
#[command(next_help_heading = "Results in a file")]
pub struct Output {
    /// Write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the results as TAP, version 14
    #[arg(long, value_name = "FILE")]
    pub tap: Option<PathBuf>,
}

impl Output {
    /// Runs `tests`, which appends a row for each boot or group of tests, and writes the rows. If it ends with an error,
    /// the files have the rows so far and the error as a failed test. If it does not end, they say that.
    ///
    /// # Errors
    ///
    /// A file cannot be written, which is found out before the tests run; `tests` ends with an error.
    pub fn results_of(&self, tests: impl FnOnce(&mut Vec<Row>) -> Result<()>) -> Result<Vec<Row>> {
        self.write(&[failed("the tests were interrupted: no results")])?;
        let mut rows = Vec::new();
        let ended = tests(&mut rows);
        match ended {
            Ok(()) => self.write(&rows)?,
            Err(error) => {
                rows.push(failed(&format!("{error:#}")));
                return Err(match self.write(&rows) {
                    Ok(()) => error,
                    Err(of_file) => error.context(format!("{of_file:#}")),
                });
            }
        }
        Ok(rows)
    }

    fn write(&self, rows: &[Row]) -> Result<()> {
        let write = |path: &PathBuf, text: String| {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        if let Some(path) = &self.junit {
            write(path, junit(rows)?)?;
        }
        if let Some(path) = &self.tap {
            write(path, tap(rows))?;
        }
        Ok(())
    }
}

/// The row that stands for all tests that were not run.
fn failed(why: &str) -> Row {
    let mut count = Count::default();
    count.fail(format!("all tests: {why}"));
    Row::new("ended early", count, Duration::ZERO)
}

/// A test, as both formats need it.
struct Case<'a> {
    /// The program's name, or the row's.
    class: &'a str,
    name: &'a str,
    outcome: Outcome,
    /// Why it failed or was skipped.
    why: &'a str,
    /// What its program printed.
    output: String,
    /// How long its program ran, if this is the program's only test.
    time: Option<Duration>,
}

/// All tests of a row, also those that it counts without a name.
fn cases(row: &Row) -> Vec<Case<'_>> {
    let count = &row.count;
    let mut found: Vec<_> = count.cases.iter().map(|case| of(row, &case.name, case.outcome)).collect();
    let has = |outcome| count.cases.iter().filter(|case| case.outcome == outcome).count();
    for (outcome, all, text) in [
        (Outcome::Passed, count.passed, "has no name"),
        (Outcome::Failed, count.failed, "gave no result"),
        (Outcome::Skipped, count.skipped, "has no name"),
    ] {
        found.extend((has(outcome)..all).map(|_| of(row, text, outcome)));
    }
    found
}

/// Splits `PROGRAM: TEST`, `PROGRAM: TEST: why` or `PROGRAM: TEST (why)`.
fn of<'a>(row: &'a Row, text: &'a str, outcome: Outcome) -> Case<'a> {
    let program = text.split_once(": ").filter(|(program, _)| row.programs.contains_key(*program));
    let (class, test) = program.unwrap_or((&row.name, text));
    let name = match outcome {
        Outcome::Passed => test,
        _ => test.split_once(": ").map_or(test, |(name, _)| name).split(" (").next().unwrap_or(test),
    };
    let alone = |name: &str| {
        let of_it = |case: &&crate::workshop::count::Case| case.name.split(": ").next() == Some(name);
        row.count.cases.iter().filter(of_it).count() == 1
    };
    let (output, time) = match row.programs.get(class).or_else(|| row.programs.get(text)) {
        Some((output, time)) => (shown(output), time.filter(|_| alone(class) || alone(text))),
        None => (String::new(), None),
    };
    Case { class, name, outcome, why: text, output, time }
}

/// The end of what a program printed.
fn shown(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(&output[output.len().saturating_sub(SHOWN)..]);
    text.replace('\r', "")
}

fn junit(rows: &[Row]) -> Result<String> {
    let mut report = Report::new("xfd");
    report.set_time(rows.iter().map(|row| row.time).sum());
    for row in rows {
        let mut suite = TestSuite::new(row.name.as_str());
        suite.set_time(row.time);
        for (program, (_, time)) in &row.programs {
            if let Some(time) = time {
                suite.add_property((format!("seconds of {program}"), format!("{:.3}", time.as_secs_f64())));
            }
        }
        for case in cases(row) {
            let status = match case.outcome {
                Outcome::Passed => TestCaseStatus::success(),
                Outcome::Failed => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(case.why);
                    status.set_description(format!("{}\n\n{}", case.why, case.output));
                    status
                }
                Outcome::Skipped => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(reason(case.why));
                    status
                }
            };
            let mut test = TestCase::new(case.name, status);
            test.set_classname(case.class);
            if let Some(time) = case.time {
                test.set_time(time);
            }
            suite.add_test_case(test);
        }
        report.add_test_suite(suite);
    }
    report.to_string().context("the results cannot be written as XML")
}

fn tap(rows: &[Row]) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", rows.len());
    for (i, row) in rows.iter().enumerate() {
        let cases = cases(row);
        let _ = writeln!(text, "# Subtest: {}\n    1..{}", plain(&row.name), cases.len());
        for (k, case) in cases.iter().enumerate() {
            let failed = case.outcome == Outcome::Failed;
            let name = match case.class == row.name {
                true => plain(case.name),
                false => format!("{}: {}", plain(case.class), plain(case.name)),
            };
            let skip = match case.outcome {
                Outcome::Skipped => format!(" # SKIP {}", plain(reason(case.why))),
                _ => String::new(),
            };
            let _ = writeln!(text, "    {} {} - {name}{skip}", if failed { "not ok" } else { "ok" }, k + 1);
            if failed {
                let _ = writeln!(text, "      ---\n      message: {}", quoted(case.why));
                if !case.output.is_empty() {
                    let _ = writeln!(text, "      output: {}", quoted(&case.output));
                }
                let _ = writeln!(text, "      ...");
            }
        }
        let ok = if row.count.failed == 0 { "ok" } else { "not ok" };
        let seconds = row.time.as_secs_f64();
        let _ = writeln!(
            text,
            "{ok} {} - {}\n  ---\n  duration_ms: {:.0}\n  ...",
            i + 1,
            plain(&row.name),
            seconds * 1000.0
        );
    }
    text
}

/// The reason why a test was skipped, without the test's name.
fn reason(why: &str) -> &str {
    let rest = why.split_once("skipped").map_or(why, |(_, rest)| rest);
    rest.trim_start_matches([':', ' ', '(']).trim_start_matches("SKIP ").trim_end_matches(')')
}

/// A description in TAP: on one line, with `#` escaped so that no directive begins in it.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('#', "\\#").replace(|c: char| c.is_control(), " ")
}

/// A YAML string: every JSON string is one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::style::ktap;
    use std::collections::BTreeMap;

    /// A boot in which one program passes and fails, and others have one test.
    fn rows() -> Vec<Row> {
        let output = "TAP version 13\n1..4\nok 1 first\n# it is <not> right\nnot ok 2 second # 3 of 4\n\
                      ok 3 third # SKIP no \"CPU\" & more\n";
        let mut count = Count::default();
        count.pass_of("boot");
        count.add(ktap::count("prog", output, Some(1)));
        count.add(ktap::count("alone", "1..1\nok 1 only\n", Some(0)));
        count.pass_of("by_status");
        let program = |output: &str, seconds| (output.as_bytes().to_vec(), Some(Duration::from_secs(seconds)));
        let mut programs = BTreeMap::new();
        programs.insert("prog".into(), program(&format!("\u{1b}[31m\u{1}{output}"), 7));
        programs.insert("alone".into(), program("", 2));
        programs.insert("by_status".into(), program("", 3));
        let boot = Row { programs, ..Row::new("boot", count, Duration::from_secs(20)) };
        let mut unnamed = Count::default();
        unnamed.pass();
        unnamed.pass();
        vec![boot, Row::new("host: # crate", unnamed, Duration::ZERO)]
    }

    #[test]
    fn junit_is_read_back_with_every_case() {
        let report = Report::deserialize_from_str(&junit(&rows()).unwrap()).unwrap();
        let of = |suite: &TestSuite| {
            let failed = |case: &&TestCase| matches!(case.status, TestCaseStatus::NonSuccess { .. });
            let skipped = |case: &&TestCase| matches!(case.status, TestCaseStatus::Skipped { .. });
            let count = |is: &dyn Fn(&&TestCase) -> bool| suite.test_cases.iter().filter(is).count();
            (suite.tests, suite.failures, count(&failed), count(&skipped))
        };
        let suites: Vec<_> = report.test_suites.iter().map(|suite| (suite.name.as_str(), of(suite))).collect();
        // The fourth test of the plan gave no result.
        assert_eq!(suites, [("boot", (7, 2, 2, 1)), ("host: # crate", (2, 0, 0, 0))]);
        let cases = &report.test_suites[0].test_cases;
        let find = |name: &str| cases.iter().find(|case| case.name.as_str() == name).unwrap();
        let second = find("second");
        assert_eq!(second.classname.as_ref().unwrap().as_str(), "prog");
        let TestCaseStatus::NonSuccess { message, description, .. } = &second.status else { panic!() };
        assert_eq!(message.as_ref().unwrap().as_str(), "prog: second (3 of 4)");
        assert!(description.as_ref().unwrap().as_str().contains("# it is <not> right\n"));
        assert_eq!(find("only").time, Some(Duration::from_secs(2)));
        assert_eq!(find("by_status").time, Some(Duration::from_secs(3)));
        assert_eq!((second.time, find("boot").time), (None, None));
        assert_eq!(report.test_suites[0].time, Some(Duration::from_secs(20)));
    }

    #[test]
    fn tap_is_read_back_with_every_case() {
        let rows = rows();
        let text = tap(&rows);
        let count = ktap::count("file", &text, Some(1));
        let all = |of: fn(&Count) -> usize| rows.iter().map(|row| of(&row.count)).sum::<usize>();
        assert_eq!(
            (count.passed, count.failed, count.skipped),
            (all(|c| c.passed), all(|c| c.failed), all(|c| c.skipped))
        );
        assert!(
            text.contains("    not ok 3 - prog: second\n      ---\n      message: \"prog: second (3 of 4)\"\n"),
            "{text}"
        );
        assert!(text.contains("\nok 2 - host: \\# crate\n"), "{text}");
        assert!(text.contains(" - prog: third # SKIP no \"CPU\" & more\n"), "{text}");
        assert!(text.lines().all(|line| !line.contains('\u{1}')));
    }

    #[test]
    fn an_unwritable_file_is_reported_at_once() {
        let output = Output { junit: Some("/nowhere/at/all".into()), tap: None };
        let ended = output.results_of(|_| panic!("the tests ran"));
        assert!(ended.err().unwrap().to_string().contains("/nowhere/at/all"));
    }

    /// What the files say: failed and other cases of JUnit, then of TAP.
    fn written(output: &Output) -> [(usize, usize); 2] {
        let read = |path: &Option<PathBuf>| fs::read_to_string(path.as_ref().unwrap()).unwrap();
        let report = Report::deserialize_from_str(&read(&output.junit)).unwrap();
        let count = ktap::count("file", &read(&output.tap), Some(1));
        let tap = (count.failed, count.passed + count.skipped);
        [(report.failures, report.tests - report.failures), tap]
    }

    #[test]
    fn the_files_are_valid_however_the_tests_end() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output { junit: Some(dir.path().join("a.xml")), tap: Some(dir.path().join("a.tap")) };
        let ended = output.results_of(|done| {
            // Whoever kills the tests now finds these.
            assert_eq!(written(&output), [(1, 0); 2]);
            done.extend(rows());
            anyhow::bail!("no <network>")
        });
        assert_eq!(ended.err().unwrap().to_string(), "no <network>");
        let all = |of: fn(&Count) -> usize| rows().iter().map(|row| of(&row.count)).sum::<usize>();
        let (bad, other) = (all(|count| count.failed), all(|count| count.passed + count.skipped));
        assert_eq!(written(&output), [(bad + 1, other); 2]);
        assert!(fs::read_to_string(dir.path().join("a.tap")).unwrap().contains("no <network>"));

        let done = |to: &mut Vec<Row>| {
            to.extend(rows());
            Ok(())
        };
        assert_eq!(output.results_of(done).unwrap().len(), 2);
        assert_eq!(written(&output), [(bad, other); 2]);
    }
}
