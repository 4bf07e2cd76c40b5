// SPDX-License-Identifier: GPL-2.0
//! `machine check`: the host's tests, then the boots of `scenarios.toml`, then the count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{bail, Result};

use crate::boot::Report;
use crate::cache::Piece;
use crate::console::Event;
use crate::hosttests;
use crate::ktap::{self, Count};
use crate::machine::{How, Machine, Project, Settings};
use crate::programs::Programs;
use crate::progress::{note, Step};
use crate::scenario::{self, Module, Scenario, Style};
use crate::silicon;
use crate::verdict::{self, End};
use crate::x86log;

/// A line of the table.
struct Row {
    name: String,
    count: Count,
    time: Duration,
}

/// Runs all whose name contains `filter`.
///
/// # Returns
///
/// 0 if something ran and nothing failed, else 1.
pub fn check(filter: Option<&str>) -> Result<u8> {
    let project = Project::find()?;
    let scenarios = scenario::read(&project.dir.join("machine/scenarios.toml"))?;
    let wanted = |name: &str| filter.is_none_or(|f| name.contains(f));
    let mut rows = Vec::new();
    for name in hosttests::CRATES.iter().filter(|name| wanted(&format!("host:{name}"))) {
        let start = Instant::now();
        let count = hosttests::run(&project.cache, &project.dir, name)?;
        rows.push(Row { name: format!("host: {name}"), count, time: start.elapsed() });
    }
    let boots: Vec<_> = scenarios.iter().filter(|s| wanted(&s.name)).collect();
    if !boots.is_empty() {
        let machine = Machine::prepare(&project)?;
        let (module, programs) = machine.module_and_programs(boots.iter().any(|s| s.module != Module::Absent))?;
        if let Some(program) = programs.get(silicon::PROGRAM).filter(|_| filter.is_none()) {
            let start = Instant::now();
            let count = silicon::run(program)?;
            rows.push(Row { name: "host: this processor".into(), count, time: start.elapsed() });
        }
        rows.extend(run_all(&machine, module.as_ref(), &programs, &boots)?);
    }
    if rows.is_empty() {
        bail!("nothing is called like {}", filter.unwrap_or_default());
    }
    Ok(summary(&rows))
}

/// Runs the boots, as many at a time as the host has processors.
fn run_all(machine: &Machine, module: Option<&Piece>, programs: &Programs, boots: &[&Scenario]) -> Result<Vec<Row>> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(BTreeMap::new());
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..crate::jobs().min(boots.len()) {
            scope.spawn(|| loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(scenario) = boots.get(i) else { break };
                match run_one(machine, module, programs, scenario) {
                    Ok(row) => rows.lock().unwrap_or_else(|e| e.into_inner()).insert(i, row),
                    Err(e) => {
                        *failed.lock().unwrap_or_else(|e| e.into_inner()) = Some(e);
                        break;
                    }
                };
            });
        }
    });
    if let Some(e) = failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(e);
    }
    Ok(rows.into_inner().unwrap_or_else(|e| e.into_inner()).into_values().collect())
}

/// What the guest reported in one boot.
#[derive(Default)]
struct Heard {
    /// Test -> output and exit status.
    tests: BTreeMap<String, (Vec<u8>, Option<i32>)>,
    current: Option<String>,
    loaded: bool,
    unloaded: bool,
    trouble: Option<String>,
    areas: Option<(u64, u64)>,
}

impl Heard {
    fn take(&mut self, event: Event) {
        match event {
            Event::Loaded => self.loaded = true,
            Event::Unloaded => self.unloaded = true,
            Event::LoadFailed(why) => self.trouble = Some(format!("the module cannot be loaded: {why}")),
            Event::UnloadFailed(why) => self.trouble = Some(format!("the module cannot be unloaded: {why}")),
            Event::Begin(name) => {
                self.tests.entry(name.clone()).or_default();
                self.current = Some(name);
            }
            Event::Output(bytes) => {
                if let Some(name) = &self.current {
                    self.tests.entry(name.clone()).or_default().0.extend(bytes);
                }
            }
            Event::End(name, status) => {
                self.tests.entry(name).or_default().1 = Some(status);
                self.current = None;
            }
            Event::Areas(before, after) => self.areas = Some((before, after)),
            Event::Ready | Event::Done | Event::Unknown(_) => {}
        }
    }

    fn all_output(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (name, (output, status)) in &self.tests {
            text.extend(format!("==== {name}: status {status:?}\n").into_bytes());
            text.extend(output);
        }
        text
    }
}

fn run_one(machine: &Machine, module: Option<&Piece>, programs: &Programs, scenario: &Scenario) -> Result<Row> {
    let start = Instant::now();
    let step = Step::start(&scenario.name, "booting");
    let names: Vec<_> = scenario.tests.iter().map(|t| t.name.clone()).filter(|n| programs.get(n).is_some()).collect();
    let module = module.filter(|_| scenario.module != Module::Absent);
    let mut files = machine.guest(&Settings::Tests(names.clone()), module, scenario.module.loaded())?;
    // All of them: tests start each other.
    for name in programs.names() {
        programs.install(name, &mut files)?;
    }
    let how = How {
        name: &scenario.name,
        cpus: scenario.cpus,
        memory_mib: scenario.memory_mib,
        cmdline: &scenario.cmdline,
        quiet: Duration::from_secs(scenario.quiet_seconds),
        total: Duration::from_secs(scenario.total_seconds),
        show_console: false,
        terminal: None,
    };
    let mut heard = Heard::default();
    let report = machine.boot(&files, &how, |event| {
        if let Event::Begin(name) = &event {
            step.now(name);
        }
        heard.take(event);
    })?;
    let output = machine.project.cache.log(&format!("tests-{}", scenario.name));
    std::fs::write(&output, heard.all_output())?;
    let known = |name: &str| programs.get(name).is_some();
    let count = judge(scenario, &heard, &report, known);
    drop(step);
    note(&format!(
        "{}: {} passed, {} failed, {} skipped after {} s",
        scenario.name,
        count.passed,
        count.failed,
        count.skipped,
        start.elapsed().as_secs()
    ));
    Ok(Row { name: scenario.name.clone(), count, time: start.elapsed() })
}

/// Counts a boot: its tests, the boot itself, and with the module its coming and going.
fn judge(scenario: &Scenario, heard: &Heard, report: &Report, known: impl Fn(&str) -> bool) -> Count {
    let mut count = Count::default();
    let (expected, problems): (Vec<_>, Vec<_>) = report
        .problems
        .iter()
        .cloned()
        .partition(|problem| scenario.expected_log.iter().any(|part| problem.line.contains(part.as_str())));
    for part in &scenario.expected_log {
        if !expected.iter().any(|problem| problem.line.contains(part.as_str())) {
            count.fail(format!("the kernel log has no {part:?}; console log: {}", report.log.display()));
        }
    }
    match verdict::reason(&report.end, &problems) {
        None => count.pass(),
        Some(why) => count.fail(format!("boot: {why}; console log: {}", report.log.display())),
    }
    if scenario.module.loaded().is_some() {
        match (&heard.trouble, heard.loaded && heard.unloaded) {
            (Some(why), _) => count.fail(why.clone()),
            (None, true) => count.pass(),
            (None, false) => count.fail("the module was not loaded and unloaded"),
        }
        match heard.areas {
            Some((before, after)) if after <= before => count.pass(),
            Some((before, after)) => {
                count.fail(format!("{} fpstate areas left in /proc/vmallocinfo", after - before))
            }
            None => count.fail("fpstate areas were not counted"),
        }
    }
    for test in &scenario.tests {
        let name = &test.name;
        match heard.tests.get(name) {
            None if !known(name) => count.fail(format!("{name}: there is no test program of that name")),
            None => count.fail(format!("{name}: was not run")),
            Some((output, status)) => {
                let output = String::from_utf8_lossy(output);
                count.add(match test.style {
                    Style::Ktap => ktap::count(name, &output, *status),
                    Style::KernelX86 => x86log::count(name, &output, *status),
                });
            }
        }
    }
    if matches!(report.end, End::Orderly) {
        return count;
    }
    // A boot that ended early is a failure even if every test had its say.
    if count.failed == 0 {
        count.fail("the boot ended early");
    }
    count
}

/// Prints remarks, table and last line.
fn summary(rows: &[Row]) -> u8 {
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
#[path = "check_tests.rs"]
mod tests;
