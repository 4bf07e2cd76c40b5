// SPDX-License-Identifier: GPL-2.0
//! `machine check`: the host's tests, then the boots of `scenarios.toml`, then the count.

use std::time::{Duration, Instant};

use anyhow::{bail, Result};

use crate::every;
use crate::hosttests;
use crate::ktap::Count;
use crate::machine::{Machine, Project};
use crate::progress::note;
use crate::scenario::{self, Class, Debug, Scenario};
use crate::silicon;
use crate::table;
use crate::trial::{self, Trial};
use crate::verdict;

/// A line of the summary.
pub struct Row {
    name: String,
    count: Count,
    time: Duration,
}

impl From<Trial> for Row {
    fn from(trial: Trial) -> Row {
        Row { name: trial.name, count: trial.count, time: trial.time }
    }
}

/// Runs all whose name contains `filter` and that are of `class`; the host's tests are with the usual boots.
///
/// # Returns
///
/// 0 if something ran and nothing failed, else 1.
pub fn check(filter: Option<&str>, class: Class) -> Result<u8> {
    let project = Project::find()?;
    let scenarios = scenario::read(&project.dir.join("machine/scenarios.toml"))?;
    let wanted = |name: &str| filter.is_none_or(|f| name.contains(f));
    let mut rows = Vec::new();
    for name in hosttests::CRATES.iter().filter(|name| class == Class::Usual && wanted(&format!("host:{name}"))) {
        let start = Instant::now();
        let count = hosttests::run(&project.cache, &project.dir, name)?;
        rows.push(Row { name: format!("host: {name}"), count, time: start.elapsed() });
    }
    let asked = |s: &Scenario| s.debug != Debug::Only && s.is_of(class) && wanted(&s.name);
    let boots: Vec<_> = scenarios.boots.iter().filter(|s| asked(s)).collect();
    if !boots.is_empty() {
        let machine = Machine::prepare(&project)?;
        let (module, programs) = machine.module_and_programs(boots.iter().any(|s| s.has_module()))?;
        let start = Instant::now();
        let suites = scenarios.suites_of(&boots);
        let compared = filter.is_none() && !suites.is_empty();
        let host = compared.then(|| silicon::run(&project.cache, &programs, &suites)).transpose()?;
        if let Some(host) = &host {
            let count = host.count.clone();
            rows.push(Row { name: "host: this processor".into(), count, time: start.elapsed() });
        }
        let trials = trial::run_all(&machine, module.as_ref(), &programs, &boots)?;
        if let Some(host) = host {
            let compared = table::compare(&project, &scenarios, &trials, &host)?;
            note(&format!("three columns: {}", compared.summary()));
            rows.push(Row { name: "three columns".into(), count: compared.count(), time: Duration::ZERO });
        }
        if class == Class::Long {
            if let Some(file) = every::report(&project.cache, &trials)? {
                note(&format!("disturbed at each instruction: {}", file.display()));
            }
        }
        rows.extend(trials.into_iter().map(Row::from));
    }
    if rows.is_empty() {
        bail!("nothing is called like {}", filter.unwrap_or_default());
    }
    Ok(summary(&rows))
}

/// Prints remarks, table and last line.
pub fn summary(rows: &[Row]) -> u8 {
    let mut total = Count::default();
    println!();
    for row in rows {
        for remark in &row.count.remarks {
            println!("{}: {remark}", row.name);
        }
    }
    println!("\n{:<32} {:>7} {:>7} {:>8} {:>6}", "", "passed", "failed", "skipped", "s");
    for row in rows {
        let Count { passed, failed, skipped, .. } = row.count;
        println!("{:<32} {passed:>7} {failed:>7} {skipped:>8} {:>6}", row.name, row.time.as_secs());
        total.add(Count { remarks: Vec::new(), ..row.count.clone() });
    }
    println!("\n{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    if total.failed == 0 && total.passed > 0 {
        verdict::PASS
    } else {
        verdict::FAIL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pass_is_no_success() {
        let row = |count| Row { name: "r".into(), count, time: Duration::ZERO };
        let skipped = Count { skipped: 1, ..Count::default() };
        assert_eq!(summary(&[row(skipped)]), verdict::FAIL);
        assert_eq!(summary(&[row(Count { passed: 1, failed: 1, ..Count::default() })]), verdict::FAIL);
        assert_eq!(summary(&[row(Count { passed: 1, ..Count::default() })]), verdict::PASS);
    }
}
