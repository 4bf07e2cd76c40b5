// SPDX-License-Identifier: GPL-2.0
//! `machine table`: compares the suites' answers on the stock kernel, with the module, and on the host's own processor.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::boot::machine::Machine;
use crate::boot::verdict;
use crate::judge::columns::{self, Judgement, Line, Program, Table};
use crate::judge::divergences;
use crate::judge::rows::{self, Rows};
use crate::judge::scenario::{self, Scenarios, Test};
use crate::judge::silicon::{self, Host};
use crate::judge::trial::{self, Trial};
use crate::piece::kernel;
use crate::piece::module::Module;
use crate::piece::project::Project;
use crate::workshop::progress::note;

/// Runs the boots that have suites, whatever their class, and prints the table.
///
/// # Returns
///
/// 0 if all rows are as expected and no test failed, otherwise 1.
pub fn table(project: &Project) -> Result<u8> {
    let scenarios = scenario::read(&project.dir.join("machine/scenarios.toml"))?;
    let machine = Machine::prepare(project)?;
    let (module, programs) = machine.module_and_programs(true)?;
    let boots: Vec<_> = scenarios.boots.iter().filter(|boot| !boot.suites.is_empty()).collect();
    let host = silicon::run(&project.cache, &programs, &scenarios.suites_of(&boots))?;
    let trials = trial::run_all(&machine, module.as_ref(), &programs, &boots)?;
    let table = compare(&machine, &scenarios, &trials, &host)?;
    print(&table);
    let mut failed = host.count.failed + table.count().failed;
    for trial in &trials {
        failed += trial.count.failed;
        for remark in &trial.count.remarks {
            note(&format!("{}: {remark}", trial.name));
        }
    }
    for remark in &host.count.remarks {
        note(&format!("host: {remark}"));
    }
    for remark in table.count().remarks {
        note(&format!("three columns: {remark}"));
    }
    println!("\n{}", table.summary());
    Ok(if failed == 0 { verdict::PASS } else { verdict::FAIL })
}

/// Compares the answers of the boots in `trials` and of the host, for the suites of these boots only.
pub fn compare(machine: &Machine, scenarios: &Scenarios, trials: &[Trial], host: &Host) -> Result<Table> {
    let boots: Vec<_> =
        scenarios.boots.iter().filter(|boot| trials.iter().any(|trial| trial.name == boot.name)).collect();
    let suites = scenarios.suites_of(&boots);
    let others = scenarios.suites.iter().filter(|suite| suites.iter().all(|s| s.name != suite.name));
    let not_run: BTreeSet<_> = others.flat_map(|suite| &suite.tests).map(|test| test.name.as_str()).collect();
    let named = divergences::read(&machine.project.dir.join("Documentation/divergences.rst"))?.without(&not_run);
    let rows_of = |suite: &str, module, test: &Test| -> Rows {
        let boot = scenarios.boot_of(suite, module);
        let trial = boot.and_then(|boot| trials.iter().find(|trial| trial.name == boot.name));
        let output = trial.and_then(|trial| trial.tests.get(&test.name));
        output.map(|(text, status)| rows::of(test.style, &String::from_utf8_lossy(text), *status)).unwrap_or_default()
    };
    let mut programs = Vec::new();
    for suite in suites {
        for test in &suite.tests {
            programs.push(Program {
                name: &test.name,
                stock: rows_of(&suite.name, Module::Absent, test),
                module: rows_of(&suite.name, Module::Loaded, test),
                host: host.rows.get(&test.name).cloned(),
            });
        }
    }
    let release = nix::sys::utsname::uname()?;
    let same_kernel =
        kernel::series(&release.release().to_string_lossy()) == kernel::series(machine.kernel.release());
    Ok(Table::compare(&programs, columns::MODULE, &named, same_kernel))
}

/// Columns are not padded beyond this width: longer values shift the rest of their line.
const WIDEST: usize = 26;

fn print(table: &Table) {
    let mut all = vec![["".to_owned(), "stock".into(), "module".into(), "silicon".into(), "".into()]];
    all.extend(table.lines.iter().map(cells));
    let width = |i: usize| all.iter().map(|cells| cells[i].chars().count()).max().unwrap_or(0);
    let a = width(0);
    let [b, c, d] = [1, 2, 3].map(|i| width(i).min(WIDEST));
    for [name, stock, module, host, remark] in &all {
        let line = format!("{name:<a$}  {stock:<b$}  {module:<c$}  {host:<d$}  {remark}");
        println!("{}", line.trim_end());
    }
}

/// The cells of a line: name, three values, remark.
fn cells(line: &Line) -> [String; 5] {
    let remark = match &line.judgement {
        Judgement::Equal => String::new(),
        Judgement::Documented(heading) => format!("documented: {heading}"),
        Judgement::OtherKernel => "the host's kernel is of another series".into(),
        Judgement::Wrong(why) => format!("WRONG: {why}"),
    };
    let [stock, module, host] = line.shown().map(str::to_owned);
    [line.name.clone(), stock, module, host, remark]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_values_and_its_remark() {
        let line =
            |judgement| Line { name: "p: x".into(), values: [Some("1".into()), Some("0".into()), None], judgement };
        assert_eq!(cells(&line(Judgement::Equal)), ["p: x", "1", "0", "-", ""]);
        assert_eq!(cells(&line(Judgement::Documented("Why".into())))[4], "documented: Why");
        assert!(cells(&line(Judgement::Wrong("differs".into())))[4].starts_with("WRONG"));
    }
}
