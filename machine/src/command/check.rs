// SPDX-License-Identifier: GPL-2.0
//! `machine check`: runs the host tests, then the boots of `scenarios.toml`, and prints a summary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};

use crate::boot::machine::Machine;
use crate::boot::verdict;
use crate::command::check_emulator;
use crate::command::check_gdb;
use crate::command::check_litmus;
use crate::command::check_packages;
use crate::command::check_run;
use crate::command::docs;
use crate::command::host_tests;
use crate::command::report::Output;
use crate::command::table;
use crate::judge::every;
use crate::judge::scenario::{self, Class, Debug, Scenario, Scenarios};
use crate::judge::silicon::{self, Host};
use crate::judge::trial::{self, Trial};
use crate::piece::kernel::NotInArchive;
use crate::piece::project::Project;
use crate::workshop::count::{Count, Outcome};
use crate::workshop::progress::note;

/// A row of the summary: one boot, or one group of tests on the host.
#[derive(Clone)]
pub struct Row {
    pub name: String,
    pub count: Count,
    pub time: Duration,
    /// For each of its programs: what it printed, and how long it ran.
    pub programs: BTreeMap<String, (Vec<u8>, Option<Duration>)>,
}

impl Row {
    /// Creates a row without programs.
    pub fn new(name: impl Into<String>, count: Count, time: Duration) -> Row {
        Row { name: name.into(), count, time, programs: BTreeMap::new() }
    }

    /// Creates the row of a boot on `machine`.
    pub fn of(machine: &Machine, trial: Trial) -> Row {
        Row::of_trial(trial, &machine.suffix)
    }

    /// The same, if the machine is gone; `suffix` is its suffix.
    pub fn of_trial(mut trial: Trial, suffix: &str) -> Row {
        let programs = trial.tests.into_iter().map(|(name, (output, _))| {
            let time = trial.times.remove(&name);
            (name, (output, time))
        });
        Row { programs: programs.collect(), ..Row::new(format!("{}{suffix}", trial.name), trial.count, trial.time) }
    }
}

/// Runs the tests and boots of `class` whose name contains `filter`. The host tests belong to the usual class. Without
/// a filter, some boots of that class also run on a kernel of another series.
///
/// # Returns
///
/// 0 if at least one test passed and none failed, otherwise 1.
pub fn check(project: &Project, filter: Option<&str>, class: Class, output: &Output) -> Result<u8> {
    Ok(summary(&output.results_of(|rows| run(project, filter, class, rows))?))
}

fn run(project: &Project, filter: Option<&str>, class: Class, rows: &mut Vec<Row>) -> Result<()> {
    let scenarios = scenario::read(&project.dir.join("machine/scenarios.toml"))?;
    // As the summary prints them, the names of host tests have a space.
    let filter = filter.map(|filter| filter.replace("host: ", "host:"));
    let filter = filter.as_deref();
    let wanted = |name: &str| filter.is_none_or(|f| name.contains(f));
    for name in host_tests::CRATES.iter().filter(|name| class == Class::Usual && wanted(&format!("host:{name}"))) {
        let start = Instant::now();
        let count = host_tests::run(&project.cache, &project.dir, name)?;
        rows.push(Row::new(format!("host: {name}"), count, start.elapsed()));
    }
    type Check = fn(&Project) -> Result<Count>;
    let more: [(_, _, Check); 7] = [
        (docs::NAME, Class::Usual, docs::check),
        (check_emulator::NAME, Class::Usual, check_emulator::check),
        (check_litmus::NAME, Class::Usual, check_litmus::check),
        (check_run::NAME, Class::Usual, check_run::check),
        (check_gdb::NAME, Class::Usual, check_gdb::check),
        (check_packages::NAME, Class::Usual, check_packages::check),
        (check_packages::DKMS, Class::Long, check_packages::check_dkms),
    ];
    for (name, _, check) in more.iter().filter(|(name, of, _)| *of == class && wanted(&format!("host:{name}"))) {
        let start = Instant::now();
        let count = check(project)?;
        rows.push(Row::new(format!("host: {name}"), count, start.elapsed()));
    }
    let asked = |s: &Scenario| s.debug != Debug::Only && s.is_of(class) && wanted(&s.name);
    let boots: Vec<_> = scenarios.boots.iter().filter(|s| asked(s)).collect();
    if !boots.is_empty() {
        let mut machine = Machine::prepare(project)?;
        let (module, programs) = machine.module_and_programs(boots.iter().any(|s| s.has_module()))?;
        let whole = class == Class::Usual && filter.is_none();
        if whole {
            rows.push(relied_on(&machine)?);
        }
        let start = Instant::now();
        let suites = scenarios.suites_of(&boots);
        let compared = filter.is_none() && !suites.is_empty();
        let host = compared.then(|| silicon::run(&project.cache, &programs, &suites)).transpose()?;
        if let Some(host) = &host {
            let count = host.count.clone();
            rows.push(Row::new("host: this processor", count, start.elapsed()));
        }
        let trials = trial::run_all(&machine, module.as_ref(), &programs, &boots)?;
        if let Some(host) = &host {
            rows.push(columns(&machine, &scenarios, &trials, host)?);
        }
        if class == Class::Long {
            if let Some(file) = every::report(&project.cache, &trials)? {
                note(&format!("results of disturbing each instruction: {}", file.display()));
            }
        }
        let restored = trials.iter().filter(|trial| !trial.saved.is_zero());
        let saved: Duration = restored.clone().map(|trial| trial.saved).sum();
        if !saved.is_zero() {
            let number = restored.count();
            note(&format!("{number} boots continued from a saved machine, which saved {} s", saved.as_secs()));
        }
        rows.extend(trials.into_iter().map(|trial| Row::of(&machine, trial)));
        let boots: Vec<_> = boots.into_iter().filter(|boot| whole && boot.every_kernel).collect();
        if !boots.is_empty() {
            let found = project.kernel_of_other_series(&machine.kernel).and_then(|kernel| {
                machine = machine.with(kernel);
                on_another_kernel(&machine, &scenarios, &boots)
            });
            match found {
                Ok(on) => rows.extend(on.rows),
                // Keep the results so far.
                Err(error) => {
                    let mut count = Count::default();
                    match error.is::<NotInArchive>() {
                        true => count.skip(error.to_string()),
                        false => count.fail(format!("{error:#}")),
                    }
                    rows.push(Row::new("on another series", count, Duration::ZERO));
                }
            }
        }
    }
    if rows.is_empty() {
        bail!("no test or boot has {:?} in its name", filter.unwrap_or_default());
    }
    Ok(())
}

/// The results on a kernel other than the default one.
pub struct OnKernel {
    pub rows: Vec<Row>,
    /// How many of the functions that the module relies on were reviewed as they are in this kernel, and how many not.
    pub read: (usize, usize),
    /// How many rows of the suites' answers are equal, and how many differ; `None` if the suites did not run both ways.
    pub compared: Option<(usize, usize)>,
}

/// Builds the module for the machine's kernel, runs `boots` there, and compares their answers.
///
/// # Errors
///
/// Something cannot be built.
pub fn on_another_kernel(machine: &Machine, scenarios: &Scenarios, boots: &[&Scenario]) -> Result<OnKernel> {
    let (module, programs) = machine.module_and_programs(true)?;
    let trials = trial::run_all(machine, module.as_ref(), &programs, boots)?;
    let compared = table::compare(machine, scenarios, &trials, &Host::default())?;
    let (equal, count) = (compared.equal(), compared.count());
    let compared = (!scenarios.suites_of(boots).is_empty()).then_some((equal, count.failed));
    let mut rows: Vec<_> = trials.into_iter().map(|trial| Row::of(machine, trial)).collect();
    let relied_on = relied_on(machine)?;
    let read = (relied_on.count.passed, relied_on.count.failed);
    rows.insert(0, relied_on);
    if compared.is_some() {
        rows.insert(0, Row::new(format!("three columns{}", machine.suffix), count, Duration::ZERO));
    }
    Ok(OnKernel { rows, read, compared })
}

fn relied_on(machine: &Machine) -> Result<Row> {
    let count = machine.project.relied_on(&machine.kernel)?;
    Ok(Row::new(format!("reviewed functions{}", machine.suffix), count, Duration::ZERO))
}

fn columns(machine: &Machine, scenarios: &Scenarios, trials: &[Trial], host: &Host) -> Result<Row> {
    let compared = table::compare(machine, scenarios, trials, host)?;
    note(&format!("three columns: {}", compared.summary()));
    Ok(Row::new("three columns", compared.count(), Duration::ZERO))
}

/// Prints what was skipped and why, the table, what failed and why, and the totals: a log that shows only its end
/// still shows the failures.
pub fn summary(rows: &[Row]) -> u8 {
    print!("\n{}", text(rows));
    let sum = |of: fn(&Count) -> usize| rows.iter().map(|row| of(&row.count)).sum::<usize>();
    if sum(|count| count.failed) == 0 && sum(|count| count.passed) > 0 {
        verdict::PASS
    } else {
        verdict::FAIL
    }
}

fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut failures = String::new();
    let mut total = Count::default();
    for row in rows {
        for remark in &row.count.remarks {
            let failed = row.count.cases.iter().any(|case| case.outcome == Outcome::Failed && case.name == *remark);
            let list = if failed { &mut failures } else { &mut text };
            let _ = writeln!(list, "{}{}: {remark}", if failed { "failed: " } else { "" }, row.name);
        }
    }
    let _ = writeln!(text, "\n{:<32} {:>7} {:>7} {:>8} {:>6}", "", "passed", "failed", "skipped", "s");
    for row in rows {
        let Count { passed, failed, skipped, .. } = row.count;
        let _ = writeln!(text, "{:<32} {passed:>7} {failed:>7} {skipped:>8} {:>6}", row.name, row.time.as_secs());
        total.add(Count { passed, failed, skipped, ..Count::default() });
    }
    if !failures.is_empty() {
        let _ = write!(text, "\n{failures}");
    }
    let _ = writeln!(text, "\n{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_without_a_pass_is_a_failure() {
        let row = |count| Row::new("r", count, Duration::ZERO);
        let skipped = Count { skipped: 1, ..Count::default() };
        assert_eq!(summary(&[row(skipped)]), verdict::FAIL);
        assert_eq!(summary(&[row(Count { passed: 1, failed: 1, ..Count::default() })]), verdict::FAIL);
        assert_eq!(summary(&[row(Count { passed: 1, ..Count::default() })]), verdict::PASS);
    }

    #[test]
    fn failures_follow_the_table() {
        let mut count = Count::default();
        count.fail("prog: bad");
        count.skip("prog: no AMX");
        let text = text(&[Row::new("boot", count, Duration::ZERO)]);
        let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines[0], "boot: prog: no AMX");
        assert_eq!(&lines[3..], ["failed: boot: prog: bad", "0 passed, 1 failed, 1 skipped"]);
    }
}
