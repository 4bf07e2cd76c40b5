// SPDX-License-Identifier: GPL-2.0
//! `machine check-builtin`: runs the boots of `scenarios.toml` that are meant for it on a kernel into which the
//! subsystem is built.

use anyhow::{bail, Result};

use crate::boot::machine::Machine;
use crate::command::check::{summary, Row};
use crate::command::report::Output;
use crate::judge::scenario::{self, Scenario, Test};
use crate::judge::trial;
use crate::piece::module::Module;
use crate::piece::programs::Programs;
use crate::piece::project::Project;

/// Runs the boots whose name contains `filter`.
///
/// # Returns
///
/// 0 if at least one test passed and none failed, otherwise 1.
pub fn check(project: &Project, filter: Option<&str>, output: &Output) -> Result<u8> {
    Ok(summary(&output.results_of(|rows| run(project, filter, rows))?))
}

fn run(project: &Project, filter: Option<&str>, rows: &mut Vec<Row>) -> Result<()> {
    let scenarios = scenario::read(&project.dir.join("machine/scenarios.toml"))?;
    let boots = scenarios.boots.into_iter().filter(|boot| boot.builtin).map(on_builtin_kernel);
    let boots: Vec<_> = boots.filter(|boot| filter.is_none_or(|f| boot.name.contains(f))).collect();
    if boots.is_empty() {
        bail!("no boot for the built-in kernel has {:?} in its name", filter.unwrap_or_default());
    }
    let machine = Machine::prepare_builtin(project)?;
    let (_, programs): (_, Programs) = machine.module_and_programs(false)?;
    let trials = trial::run_all(&machine, None, &programs, &boots.iter().collect::<Vec<_>>())?;
    rows.extend(trials.into_iter().map(|trial| Row::of(&machine, trial)));
    Ok(())
}

/// Tests that look at what only the module has: tiles for kernel code, and /proc/xfd.
const OF_THE_MODULE: [&str; 2] = ["module_kernel_tiles.sh", "kvm_rows"];
/// Where a boot has the module's parameters. The kernel's command line has them as `xfd.NAME=VALUE`.
const PARAMETERS: &str = "XFD_PARAMETERS=";

fn on_builtin_kernel(mut boot: Scenario) -> Scenario {
    boot.name = format!("builtin-{}", boot.name);
    boot.module = Module::Absent;
    boot.tests.retain(|test| !OF_THE_MODULE.contains(&test.name.as_str()));
    boot.tests.push(Test::named("builtin.sh"));
    // The tests expect what they expect with the module.
    boot.cmdline = format!("XFD_MODULE=1 {}", boot.cmdline.replace(PARAMETERS, "xfd.")).trim_end().to_owned();
    boot
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn boots() -> Vec<Scenario> {
        let boots = scenario::read(Path::new("scenarios.toml")).unwrap().boots;
        boots.into_iter().filter(|boot| boot.builtin).map(on_builtin_kernel).collect()
    }

    #[test]
    fn no_boot_has_the_module() {
        let boots = boots();
        assert!(boots.len() > 3);
        for boot in boots {
            assert!(!boot.has_module() && boot.cmdline.starts_with("XFD_MODULE=1"), "{}", boot.name);
            assert!(boot.tests.iter().all(|test| !OF_THE_MODULE.contains(&test.name.as_str())), "{}", boot.name);
        }
    }

    #[test]
    fn parameters_are_words_of_the_kernel() {
        let boot = boots().into_iter().find(|boot| boot.name == "builtin-reclaim").unwrap();
        assert!(boot.cmdline.contains(" xfd.reclaim_ms=1 "), "{}", boot.cmdline);
    }
}
