// SPDX-License-Identifier: GPL-2.0
//! `machine check-kernels`: runs the boots marked `every-kernel` on each kernel of the recipe.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{bail, Result};

use crate::boot::machine::Machine;
use crate::boot::verdict;
use crate::command::check::{self, OnKernel, Row};
use crate::command::report::Output;
use crate::judge::scenario::{self, Scenario};
use crate::piece::kernel::NotInArchive;
use crate::piece::project::Project;
use crate::workshop::count::Count;
use crate::workshop::progress::note;

/// The outcome on one kernel.
enum Found {
    /// The archive does not have it.
    Left(String),
    /// One of its components, or the module, could not be built.
    Broken(String),
    Ran {
        release: String,
        on: OnKernel,
    },
}

/// Runs these boots on all kernels whose name contains `filter`, and prints a table.
///
/// # Returns
///
/// 0 if at least one kernel ran and nothing failed, otherwise 1.
pub fn check(project: &Project, filter: Option<&str>, output: &Output) -> Result<u8> {
    let mut status = verdict::FAIL;
    output.results_of(|rows| {
        status = run(project, filter, rows)?;
        Ok(())
    })?;
    Ok(status)
}

fn run(project: &Project, filter: Option<&str>, rows: &mut Vec<Row>) -> Result<u8> {
    project.refuse_kernel("check-kernels")?;
    let scenarios = scenario::read(&project.dir.join("machine/scenarios.toml"))?;
    let boots: Vec<_> = scenarios.boots.iter().filter(|boot| boot.every_kernel).collect();
    let kernels = project.recipe.kernel.iter().filter(|kernel| filter.is_none_or(|f| kernel.name.contains(f)));
    let mut found = Vec::new();
    for kernel in kernels {
        let result = Machine::prepare_with(project, kernel).and_then(|machine| {
            let on = check::on_another_kernel(&machine, &scenarios, &boots)?;
            Ok(Found::Ran { release: machine.kernel.release().to_owned(), on })
        });
        let result = match result {
            Ok(found) => found,
            Err(error) if error.is::<NotInArchive>() => Found::Left(error.to_string()),
            Err(error) => Found::Broken(format!("{error:#}")),
        };
        note(&line(&kernel.name, &result, &boots));
        found.push((kernel.name.as_str(), result));
    }
    if found.is_empty() {
        bail!("no kernel has {:?} in its name", filter.unwrap_or_default());
    }
    rows.extend(suites(&found));
    let (mut ran, mut failed) = (false, false);
    println!();
    for (_, found) in &found {
        failed |= matches!(found, Found::Broken(_));
        let Found::Ran { on, .. } = found else { continue };
        ran = true;
        for row in &on.rows {
            failed |= row.count.failed > 0;
            for remark in &row.count.remarks {
                println!("{}: {remark}", row.name);
            }
        }
    }
    println!("\n{}", heading(&boots));
    for (name, found) in &found {
        println!("{}", line(name, found, &boots));
    }
    Ok(if ran && !failed { verdict::PASS } else { verdict::FAIL })
}

/// The rows of all kernels; a kernel that could not be tried becomes a suite with one test.
fn suites(found: &[(&str, Found)]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, found) in found {
        let mut count = Count::default();
        match found {
            Found::Ran { on, .. } => {
                rows.extend(on.rows.iter().map(|row| Row { name: format!("{name}: {}", row.name), ..row.clone() }));
                continue;
            }
            Found::Left(why) => count.skip(why.clone()),
            Found::Broken(why) => count.fail(why.clone()),
        }
        rows.push(Row::new(*name, count, Duration::ZERO));
    }
    rows
}

fn heading(boots: &[&Scenario]) -> String {
    let mut text = format!("{:<12} {:<28} {:>8} {:>12}", "kernel", "release", "reviewed", "table");
    for boot in boots {
        let _ = write!(text, " {:>width$}", boot.name, width = width(boot));
    }
    text
}

fn width(boot: &Scenario) -> usize {
    boot.name.len().max(8)
}

/// The line of one kernel: functions reviewed and not reviewed, rows of the table that are equal and that differ, and
/// what passed and failed in each boot.
fn line(name: &str, found: &Found, boots: &[&Scenario]) -> String {
    let (release, on) = match found {
        Found::Left(why) => return format!("{name:<12} left out: {why}"),
        Found::Broken(why) => return format!("{name:<12} failed: {why}"),
        Found::Ran { release, on } => (release, on),
    };
    let table = on.compared.map_or_else(|| "-".to_owned(), |(equal, other)| format!("{equal} / {other}"));
    let read = format!("{} / {}", on.read.0, on.read.1);
    let mut text = format!("{name:<12} {release:<28} {read:>8} {table:>12}");
    for boot in boots {
        let none = Count::default();
        let row =
            on.rows.iter().find(|row| row.name == boot.name || row.name.starts_with(&format!("{}-on-", boot.name)));
        let count = row.map_or(&none, |row| &row.count);
        let _ = write!(text, " {:>width$}", format!("{} / {}", count.passed, count.failed), width = width(boot));
    }
    text
}
