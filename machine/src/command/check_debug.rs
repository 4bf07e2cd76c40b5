// SPDX-License-Identifier: GPL-2.0
//! `machine check-debug`: runs the boots of `scenarios.toml` that are meant for a debug kernel on one.

use anyhow::{bail, Result};

use crate::boot::machine::Machine;
use crate::command::check::{summary, Row};
use crate::command::report::Output;
use crate::judge::scenario::{self, Debug, Scenario, Test};
use crate::judge::trial;
use crate::piece::kernel::debug::Kind;
use crate::piece::module::Module;
use crate::piece::programs::Programs;
use crate::piece::project::Project;

/// How many times slower KASAN and lockdep make the kernel in the emulator.
const SLOWER: u64 = 10;

/// The PREEMPT_RT kernel logs this once when any livepatch is enabled, ours or another: see Documentation/bugs.rst.
const LIVEPATCH_ON_RT: &str = "at klp_check_and_switch_task";

/// Runs the boots for the debug kernel `kind` whose name contains `filter`.
///
/// # Returns
///
/// 0 if at least one test passed and none failed, otherwise 1.
pub fn check(project: &Project, filter: Option<&str>, kind: Kind, output: &Output) -> Result<u8> {
    Ok(summary(&output.results_of(|rows| run(project, filter, kind, rows))?))
}

fn run(project: &Project, filter: Option<&str>, kind: Kind, rows: &mut Vec<Row>) -> Result<()> {
    let scenarios = scenario::read(&project.dir.join("machine/scenarios.toml"))?;
    let boots = scenarios.boots.into_iter().filter(|boot| is_for(boot, kind)).map(|boot| on_debug_kernel(boot, kind));
    let boots: Vec<_> = boots.filter(|boot| filter.is_none_or(|f| boot.name.contains(f))).collect();
    if boots.is_empty() {
        bail!("no boot for this debug kernel has {:?} in its name", filter.unwrap_or_default());
    }
    let machine = Machine::prepare_debug(project, kind)?;
    let (module, programs): (_, Programs) = machine.module_and_programs(true)?;
    let trials = trial::run_all(&machine, module.as_ref(), &programs, &boots.iter().collect::<Vec<_>>())?;
    rows.extend(trials.into_iter().map(|trial| Row::of(&machine, trial)));
    Ok(())
}

fn is_for(boot: &Scenario, kind: Kind) -> bool {
    match kind {
        Kind::Preempt => boot.debug != Debug::No,
        Kind::Rt => matches!(boot.debug, Debug::AlsoRt | Debug::Only),
        // KCSAN finds races between CPUs, so one CPU is not enough. That kernel has no KVM.
        Kind::Kcsan => matches!(boot.debug, Debug::Also | Debug::AlsoRt) && boot.cpus > 1 && !boot.kvm,
    }
}

/// The test that is appended to boots that also run on the stock kernel: it checks that the debugging features stayed
/// enabled to the end.
fn last(kind: Kind) -> &'static str {
    match kind {
        Kind::Preempt | Kind::Rt => "debug_kernel.sh",
        Kind::Kcsan => "debug_kcsan.sh",
    }
}

/// KCSAN sets up a watchpoint for one in this many accesses. The default is 4000, but little code is instrumented here.
const WATCH_ONE_OF: &str = "kcsan.skip_watch=10";

fn on_debug_kernel(mut boot: Scenario, kind: Kind) -> Scenario {
    boot.name = format!("{}-{}", kind.name(), boot.name);
    boot.quiet_seconds *= SLOWER;
    boot.total_seconds *= SLOWER;
    if boot.debug != Debug::Only {
        boot.tests.push(Test::named(last(kind)));
    }
    if kind == Kind::Kcsan {
        boot.cmdline = format!("{} {WATCH_ONE_OF}", boot.cmdline);
    }
    if kind == Kind::Rt && boot.module != Module::Absent {
        boot.expected_log.push(LIVEPATCH_ON_RT.to_owned());
    }
    boot
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_boot_gets_more_time_and_one_more_test() {
        let path = Path::new("scenarios.toml");
        let boots = scenario::read(path).unwrap().boots;
        let boot = boots.into_iter().find(|boot| boot.name == "module").unwrap();
        let (tests, quiet) = (boot.tests.len(), boot.quiet_seconds);
        assert_eq!(boot.debug, Debug::AlsoRt);
        let boot = on_debug_kernel(boot, Kind::Rt);
        assert_eq!(
            (boot.name.as_str(), boot.tests.len(), boot.quiet_seconds),
            ("debug-rt-module", tests + 1, quiet * 10)
        );
    }

    #[test]
    fn the_kcsan_kernel_gets_the_boots_with_several_cpus() {
        let path = Path::new("scenarios.toml");
        let boots = scenario::read(path).unwrap().boots;
        let boots: Vec<_> = boots.into_iter().filter(|boot| is_for(boot, Kind::Kcsan)).collect();
        assert!(boots.iter().all(|boot| boot.cpus > 1 && !boot.kvm && boot.debug != Debug::Only));
        let boot = boots.into_iter().find(|boot| boot.name == "stress").unwrap();
        let boot = on_debug_kernel(boot, Kind::Kcsan);
        assert_eq!(
            (boot.name.as_str(), boot.tests.last()),
            ("debug-kcsan-stress", Some(&Test::named("debug_kcsan.sh")))
        );
        assert!(boot.cmdline.ends_with(" kcsan.skip_watch=10"));
    }

    #[test]
    fn the_real_time_kernel_gets_fewer_boots() {
        let path = Path::new("scenarios.toml");
        let boots = scenario::read(path).unwrap().boots;
        let are_for =
            |kind| boots.iter().filter(|boot| is_for(boot, kind)).map(|b| b.name.as_str()).collect::<Vec<_>>();
        let (preempt, rt) = (are_for(Kind::Preempt), are_for(Kind::Rt));
        assert!(rt.iter().all(|name| preempt.contains(name)) && rt.len() < preempt.len(), "{rt:?} {preempt:?}");
        assert!(boots.iter().all(|boot| !boot.kvm || !rt.contains(&boot.name.as_str())));
    }
}
