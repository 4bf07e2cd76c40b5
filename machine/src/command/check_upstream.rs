// SPDX-License-Identifier: GPL-2.0
//! `machine check-upstream`: runs boots without the module on the stock kernel, and on the same source with the series
//! of `upstream/linux`. There the answers must be the same, except where the stock kernel has a bug.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};

use crate::boot::machine::Machine;
use crate::command::check::{summary, Row};
use crate::command::report::Output;
use crate::judge::columns::{Program, Second, Table};
use crate::judge::divergences::{self, Named};
use crate::judge::rows::{self, Rows};
use crate::judge::scenario::{self, Scenario, Scenarios, Test};
use crate::judge::style::Style;
use crate::judge::trial::{self, Trial};
use crate::piece::kernel::upstream::Tests;
use crate::piece::programs::Programs;
use crate::piece::project::Project;
use crate::workshop::count::Count;
use crate::workshop::progress::note;

/// Tells tests that the kernel's own code has the series: they run what they skip on the stock kernel.
const MENDED: &str = "XFD_MENDED=1";
/// The pages with the rows that differ: the bugs that the module mends as well, and those that only the series mends.
const PAGES: [&str; 2] = ["Documentation/divergences.rst", "upstream/linux/README.rst"];
const SECOND: Second =
    Second { who: "the kernel with the series", page: "Documentation/divergences.rst or upstream/linux/README.rst" };

/// Runs the boots whose name contains `filter`. Without a filter, compares the answers of all of them.
///
/// # Returns
///
/// 0 if at least one test passed and none failed, otherwise 1.
pub fn check(project: &Project, filter: Option<&str>, output: &Output) -> Result<u8> {
    Ok(summary(&output.results_of(|rows| run(project, filter, rows))?))
}

fn run(project: &Project, filter: Option<&str>, rows: &mut Vec<Row>) -> Result<()> {
    let scenarios = scenario::read(&project.dir.join("machine/scenarios.toml"))?;
    let boots: Vec<_> = scenarios.boots.iter().filter(|boot| boot.upstream.is_some()).collect();
    let tests = tests_of(&boots);
    let boots: Vec<_> = boots.into_iter().filter(|boot| filter.is_none_or(|f| boot.name.contains(f))).collect();
    if boots.is_empty() {
        bail!("no boot of check-upstream has {:?} in its name", filter.unwrap_or_default());
    }
    let machine = Machine::prepare(project)?;
    let (_, mut programs): (_, Programs) = machine.module_and_programs(false)?;
    let start = Instant::now();
    let built = project.upstream(&machine.kernel, tests)?;
    let mut count = Count::default();
    for patch in built.patches {
        count.pass_of(format!("{patch}: git am and checkpatch.pl have no remark"));
    }
    rows.push(Row::new("upstream/linux", count, start.elapsed()));

    let before = trial::run_all(&machine, None, &programs, &boots)?;
    let suffix = machine.suffix.clone();
    programs.add(&built.tests)?;
    let machine = machine.with_built(built.kernel);
    let mended: Vec<_> = boots.iter().map(|boot| mended(boot)).collect();
    let after = trial::run_all(&machine, None, &programs, &mended.iter().collect::<Vec<_>>())?;
    if filter.is_none() {
        let table = compare(&project.dir, &scenarios, &boots, &before, &after)?;
        let (equal, wrong) = (table.equal(), table.count().failed);
        let named = table.lines.len() - equal - wrong;
        note(&format!("answers with the series: {equal} rows equal, {named} differ as documented, {wrong} wrong"));
        rows.push(Row::new("stock kernel and series", table.count(), Duration::ZERO));
    }
    rows.extend(before.into_iter().map(|trial| Row::of_trial(trial, &suffix)));
    rows.extend(after.into_iter().map(|trial| Row::of(&machine, trial)));
    Ok(())
}

/// The selftests of the series.
fn tests_of(boots: &[&Scenario]) -> Tests {
    let all = || boots.iter().flat_map(|boot| boot.upstream.iter().flatten());
    let of = |kvm: bool| {
        all().filter(|test| (test.style == Style::KernelKvm) == kvm).map(|test| test.name.clone()).collect()
    };
    Tests { x86: of(false), kvm: of(true) }
}

/// The boot for the kernel with the series: the log has no traces of bugs, and the series' own tests follow.
fn mended(boot: &Scenario) -> Scenario {
    let mut boot = boot.clone();
    boot.cmdline = format!("{} {MENDED}", boot.cmdline).trim_start().to_owned();
    boot.expected_log.clear();
    boot.tests.extend(boot.upstream.iter().flatten().cloned().collect::<Vec<_>>());
    boot
}

/// Compares the answers of the suites of `boots`.
fn compare(
    project: &Path,
    scenarios: &Scenarios,
    boots: &[&Scenario],
    before: &[Trial],
    after: &[Trial],
) -> Result<Table> {
    let suites = scenarios.suites_of(boots);
    let others = scenarios.suites.iter().filter(|suite| suites.iter().all(|s| s.name != suite.name));
    let not_run: BTreeSet<_> = others.flat_map(|suite| &suite.tests).map(|test| test.name.as_str()).collect();
    let mut named = Named::default();
    for page in PAGES {
        named = named.and(divergences::read(&project.join(page))?);
    }
    let rows_of = |trials: &[Trial], test: &Test| -> Rows {
        let output = trials.iter().find_map(|trial| trial.tests.get(&test.name));
        output.map(|(text, status)| rows::of(test.style, &String::from_utf8_lossy(text), *status)).unwrap_or_default()
    };
    let programs: Vec<_> = suites
        .iter()
        .flat_map(|suite| &suite.tests)
        .map(|test| Program {
            name: &test.name,
            stock: rows_of(before, test),
            module: rows_of(after, test),
            host: None,
        })
        .collect();
    Ok(Table::compare(&programs, SECOND, &named.without(&not_run), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_has_tests_and_its_boots_no_module() {
        let boots = scenario::read(Path::new("scenarios.toml")).unwrap().boots;
        let boots: Vec<_> = boots.iter().filter(|boot| boot.upstream.is_some()).collect();
        let tests = tests_of(&boots);
        assert!(boots.len() > 2 && !tests.x86.is_empty() && !tests.kvm.is_empty());
        let cpus = mended(boots.iter().find(|boot| boot.name == "stock-cpus").unwrap());
        assert!(cpus.cmdline.ends_with("XFD_MENDED=1") && cpus.expected_log.is_empty());
        let abi = boots.iter().find(|boot| boot.name == "stock").unwrap();
        assert_eq!(mended(abi).tests.len(), abi.tests.len() - 1 + tests.x86.len());
    }

    #[test]
    fn the_pages_name_no_row_twice() {
        let read = |page: &&str| divergences::read(&Path::new("..").join(page)).unwrap();
        let pages: Vec<_> = PAGES.iter().map(read).collect();
        let all: Vec<_> = pages.iter().flat_map(Named::all).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
