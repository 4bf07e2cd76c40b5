// SPDX-License-Identifier: GPL-2.0
//! Runs a boot of `scenarios.toml`, collects what the guest reports, and judges it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::boot::channel;
use crate::boot::console::Event;
use crate::boot::installed;
use crate::boot::linux_guest;
use crate::boot::machine::{How, Machine, Settings};
use crate::boot::verdict::{self, End};
use crate::boot::Report;
use crate::judge::scenario::Scenario;
use crate::piece::initramfs::Initramfs;
use crate::piece::module::Module;
use crate::piece::programs::Programs;
use crate::workshop::cache::Piece;
use crate::workshop::count::Count;
use crate::workshop::progress::{note, Step};

/// The results of a boot.
pub struct Trial {
    pub name: String,
    pub count: Count,
    pub time: Duration,
    /// Test -> output and exit status (`None` if it did not end).
    pub tests: BTreeMap<String, (Vec<u8>, Option<i32>)>,
    /// How much time it saved on this host by not booting.
    pub saved: Duration,
    /// Test -> how long it ran, on this host.
    pub times: BTreeMap<String, Duration>,
}

/// Runs the boots in parallel, at most one per host processor.
pub fn run_all(
    machine: &Machine,
    module: Option<&Piece>,
    programs: &Programs,
    boots: &[&Scenario],
) -> Result<Vec<Trial>> {
    let next = AtomicUsize::new(0);
    let trials = Mutex::new(BTreeMap::new());
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..crate::workshop::jobs().min(boots.len()) {
            scope.spawn(|| loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(scenario) = boots.get(i) else { break };
                match run_one(machine, module, programs, scenario) {
                    Ok(trial) => trials.lock().unwrap_or_else(|e| e.into_inner()).insert(i, trial),
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
    Ok(trials.into_inner().unwrap_or_else(|e| e.into_inner()).into_values().collect())
}

/// What the guest reported during a boot.
#[derive(Default)]
struct Heard {
    /// Test -> output and exit status.
    tests: BTreeMap<String, (Vec<u8>, Option<i32>)>,
    current: Option<(String, Instant)>,
    times: BTreeMap<String, Duration>,
    loaded: bool,
    unloaded: bool,
    trouble: Option<String>,
    areas: Option<(u64, u64)>,
}

impl Heard {
    fn take(&mut self, event: Event) {
        self.trouble = event.trouble().or(self.trouble.take());
        match event {
            Event::Loaded => self.loaded = true,
            Event::Unloaded => self.unloaded = true,
            Event::Begin(name) => {
                self.tests.entry(name.clone()).or_default();
                self.current = Some((name, Instant::now()));
            }
            Event::Output(bytes) => {
                if let Some((name, _)) = &self.current {
                    self.tests.entry(name.clone()).or_default().0.extend(bytes);
                }
            }
            Event::End(name, status) => {
                self.tests.entry(name).or_default().1 = Some(status);
                self.times.extend(self.current.take().map(|(name, begin)| (name, begin.elapsed())));
            }
            Event::Areas(before, after) => self.areas = Some((before, after)),
            Event::LoadFailed(_) | Event::UnloadFailed(_) | Event::NoJob(_) => {}
            Event::Ready | Event::Waiting | Event::Done => {}
            // These do not come over the serial port.
            Event::Errors(_) | Event::Files(_) | Event::Sections(_) | Event::Unknown(_) => {}
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

fn run_one(machine: &Machine, module: Option<&Piece>, programs: &Programs, scenario: &Scenario) -> Result<Trial> {
    let start = Instant::now();
    let full_name = format!("{}{}", scenario.name, machine.suffix);
    let step = Step::start(&full_name, "booting");
    let names: Vec<_> = scenario.tests.iter().map(|t| t.name.clone()).filter(|n| programs.get(n).is_some()).collect();
    let own = module.filter(|_| scenario.module != Module::Absent);
    let mut files = match (scenario.installed, scenario.saved) {
        (true, _) => installed::guest(machine, programs, &names)?,
        (false, true) => job(&names),
        (false, false) => machine.guest(&Settings::Tests(names.clone()), own, scenario.module.loaded())?,
    };
    for name in programs.for_tests(&names).filter(|_| !scenario.installed) {
        programs.install(name, &mut files)?;
    }
    for name in &scenario.software {
        programs.install_software(name, &mut files)?;
    }
    if let Some(guest) = &scenario.linux_guest {
        linux_guest::add(machine, programs, guest, &mut files)?;
    }
    let cmdline = match scenario.installed {
        true => format!("{} {}", installed::CMDLINE, scenario.cmdline),
        false => scenario.cmdline.clone(),
    };
    let how = How {
        name: &scenario.name,
        cpus: scenario.cpus,
        memory_mib: scenario.memory_mib,
        cmdline: &cmdline,
        quiet: Duration::from_secs(scenario.quiet_seconds),
        total: Duration::from_secs(scenario.total_seconds),
        show_console: false,
        fast_strings: false,
        with: &scenario.with,
        without: &scenario.without,
        terminal: None,
    };
    let mut heard = Heard::default();
    let (mut begin, mut first) = (Instant::now(), None);
    let mut event = |heard: &mut Heard, event| {
        if let Event::Begin(name) = &event {
            step.now(name);
            first.get_or_insert_with(Instant::now);
        }
        heard.take(event);
    };
    let mut booted = Duration::ZERO;
    let report = match scenario.saved {
        false => machine.boot(&files, &how, |e| event(&mut heard, e))?,
        true => {
            let base = machine.guest(&Settings::Job { save: true }, own, scenario.module.loaded())?;
            let state = machine.saved(scenario.module.name(), &base, &how)?;
            booted = Machine::time_to_save(&state)?;
            heard.loaded = scenario.module.loaded().is_some();
            let archive = files.archive()?;
            begin = Instant::now();
            let feed = Box::new(move |mut to| drop(channel::feed(&mut to, &archive, std::io::empty())));
            machine.restore(&state, &how, feed, |e| event(&mut heard, e))?
        }
    };
    let saved = booted.saturating_sub(first.unwrap_or(begin).duration_since(begin));
    let output = machine.project.cache.log(&format!("tests-{}", report.name));
    std::fs::write(&output, heard.all_output())?;
    let known = |name: &str| programs.get(name).is_some();
    let count = judge(scenario, &heard, &report, known);
    drop(step);
    note(&format!(
        "{full_name}: {} passed, {} failed, {} skipped after {} s",
        count.passed,
        count.failed,
        count.skipped,
        start.elapsed().as_secs()
    ));
    Ok(Trial {
        name: scenario.name.clone(),
        count,
        time: start.elapsed(),
        tests: heard.tests,
        times: heard.times,
        saved,
    })
}

/// The files that a saved machine is sent to run these tests.
fn job(names: &[String]) -> Initramfs {
    let mut files = Initramfs::default();
    files.content("job/tests", 0o644, names.iter().map(|name| format!("{name}\n")).collect::<String>());
    files
}

/// Counts a boot: its tests, the boot itself, and if init loads the module, loading and unloading.
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
        None => count.pass_of("boot"),
        Some(why) => count.fail(format!("boot: {why}; console log: {}", report.log.display())),
    }
    if scenario.module.loaded().is_some() {
        match (&heard.trouble, heard.loaded && heard.unloaded) {
            (Some(why), _) => count.fail(why.clone()),
            (None, true) => count.pass_of("the module is loaded and unloaded"),
            (None, false) => count.fail("the module was not loaded and unloaded"),
        }
        match heard.areas {
            Some((before, after)) if after <= before => count.pass_of("no fpstate area is left behind"),
            Some((before, after)) => {
                count.fail(format!("{} fpstate areas left in /proc/vmallocinfo", after - before))
            }
            None => count.fail("fpstate areas were not counted"),
        }
    } else if let Some(why) = &heard.trouble {
        count.fail(why.clone());
    }
    for test in &scenario.tests {
        let name = &test.name;
        match heard.tests.get(name) {
            None if !known(name) => count.fail(format!("{name}: there is no such test program")),
            None => count.fail(format!("{name}: was not run")),
            Some((output, status)) => {
                let output = String::from_utf8_lossy(output);
                count.add(test.style.count(name, &output, *status));
            }
        }
    }
    if scenario.nothing_skipped && count.skipped > 0 {
        count.fail(format!("{} tests were skipped in a boot that must not skip any", count.skipped));
    }
    if matches!(report.end, End::Orderly) {
        return count;
    }
    // A boot that ended early is a failure even if every test reported its results.
    if count.failed == 0 {
        count.fail("the boot ended early");
    }
    count
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
