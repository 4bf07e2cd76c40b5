// SPDX-License-Identifier: GPL-2.0
//! All paths by all disturbances: a result for each pair.

use super::disturbance::{Disturber, Kind, Until};
use super::path::{Path, Start};
use super::trial::{Outcome, Watch};
use super::trigger::{self, Event};
use crate::counters::module_is_loaded;
use crate::kernel_text::KernelText;
use crate::{areas, cpus, ktap, machine};
use anyhow::{ensure, Context};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::process::ExitCode;
use std::time::SystemTime;

/// What is tried.
#[derive(clap::Args)]
pub struct Choice {
    /// Only about so many instructions of each path, at equal distances.
    #[arg(long, env = "XFD_TRIALS", default_value_t = u64::MAX, hide_default_value = true,
          value_parser = clap::value_parser!(u64).range(1..))]
    trials: u64,

    /// Which of them; else the time says so.
    #[arg(long, env = "XFD_SEED")]
    seed: Option<u64>,

    /// Only these paths.
    #[arg(
        long = "path",
        value_name = "PATH",
        env = "XFD_PATHS",
        value_delimiter = ','
    )]
    paths: Vec<String>,

    /// Only these disturbances.
    #[arg(
        long = "by",
        value_name = "DISTURBANCE",
        env = "XFD_BY",
        value_delimiter = ','
    )]
    by: Vec<String>,

    /// Lists paths and disturbances.
    #[arg(long)]
    list: bool,
}

const INTERRUPTS: &str = "/lib/interrupts.ko";

/// Tries what is chosen of `paths`, and prints the results.
pub fn run(paths: &[Path], choice: &Choice) -> ExitCode {
    if choice.list {
        for path in paths {
            println!("{}: {}", path.name, path.about);
        }
        for kind in Kind::ALL {
            println!("by {}", kind.name());
        }
        return ExitCode::SUCCESS;
    }
    if !trigger::is_there() {
        return ktap::skip_all("only the emulated machine has a trigger");
    }
    if cpus::allowed().is_ok_and(|cpus| cpus.len() < 2) {
        return ktap::skip_all("it takes two CPUs");
    }
    if !fs::exists(INTERRUPTS).is_ok_and(|is| is) {
        return ktap::skip_all(format!("no {INTERRUPTS}: it comes with the module"));
    }
    let prepared = KernelText::now().and_then(|symbols| {
        let copy = format!("xfd_state={:#x}", symbols.find("xfd_state")?);
        machine::load(INTERRUPTS, &CString::new(copy)?)?;
        Ok((Watch::new()?, symbols))
    });
    match prepared {
        Ok((watch, symbols)) => run_pairs(paths, choice, &watch, &symbols),
        Err(error) => {
            println!("Bail out! {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_pairs(paths: &[Path], choice: &Choice, watch: &Watch, symbols: &KernelText) -> ExitCode {
    let chosen = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let pairs: Vec<(&Path, Kind)> = paths
        .iter()
        .filter(|path| chosen(&choice.paths, path.name))
        .flat_map(|path| Kind::ALL.map(|kind| (path, kind)))
        .filter(|(_, kind)| chosen(&choice.by, kind.name()))
        .collect();
    for name in &choice.paths {
        if !paths.iter().any(|path| path.name == name) {
            println!("Bail out! no path {name}: see --list");
            return ExitCode::FAILURE;
        }
    }
    for name in &choice.by {
        if !Kind::ALL.iter().any(|kind| kind.name() == name) {
            println!("Bail out! nothing disturbs by {name}: see --list");
            return ExitCode::FAILURE;
        }
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let seed = choice.seed.unwrap_or(now.as_secs());
    ktap::remark(format!("seed {seed}"));
    let each = &Each {
        watch,
        symbols,
        trials: choice.trials,
        seed,
        lengths: RefCell::default(),
    };
    ktap::run_named(pairs.into_iter().map(|(path, kind)| {
        let test = move || each.run(path, kind);
        (format!("{}_by_{}", path.name, kind.name()), test)
    }))
}

struct Each<'a> {
    watch: &'a Watch,
    symbols: &'a KernelText,
    trials: u64,
    seed: u64,
    /// How many instructions a path has when nothing disturbs it.
    lengths: RefCell<HashMap<&'static str, u64>>,
}

const INTERVAL: &str = "/sys/module/xfd/parameters/reclaim_ms";
/// As often as an instruction is tried that the path did not get to.
const AGAIN: u32 = 3;
/// So many are shown.
const SHOWN: u64 = 5;

impl Each<'_> {
    fn event(&self, start: Start) -> anyhow::Result<Event> {
        Ok(match start {
            Start::Arming => Event::Now,
            Start::NextNm => Event::NextNm,
            Start::Mark(function) => Event::Address(function as *const () as u64),
            Start::Function(name) => Event::Function(self.symbols.find(name)?),
        })
    }

    /// How many instructions `path` has: the fewest of some times, since another thread may have the CPU meanwhile.
    fn undisturbed(
        &self,
        path: &Path,
        event: Event,
        disturber: &mut Disturber,
    ) -> anyhow::Result<u64> {
        if let Some(known) = self.lengths.borrow().get(path.name) {
            return Ok(*known);
        }
        let mut fewest = u64::MAX;
        for _ in 0..3 {
            let trial = self.watch.take(path, event, disturber, u64::MAX)?;
            trial.wrong.context("undisturbed")?;
            if let Outcome::TooLate(passed) = trial.outcome {
                fewest = fewest.min(passed);
            }
        }
        self.lengths.borrow_mut().insert(path.name, fewest);
        Ok(fewest)
    }

    /// `path` disturbed by `kind` at each instruction, or at so many.
    fn run(&self, path: &Path, kind: Kind) -> anyhow::Result<ktap::Outcome> {
        let event = match self.event(path.start) {
            Err(_) if !module_is_loaded() => {
                return Ok(ktap::Outcome::Skipped("there is no such path here".into()))
            }
            event => event?,
        };
        let interval = fs::read_to_string(INTERVAL).ok();
        let memory = areas::bytes()?;
        let mut disturber = Disturber::new(kind)?;
        let expected = self.undisturbed(path, event, &mut disturber)?;
        if expected == 0 {
            ensure!(
                !module_is_loaded(),
                "the path is not taken: {event:x?} does not come"
            );
            return Ok(ktap::Outcome::Skipped("there is no such path here".into()));
        }
        let stride = expected.div_ceil(self.trials);
        let (mut tried, mut late, mut fell, mut again, mut missed) = (0, 0, 0, 0, 0);
        let mut after = self.seed % stride;
        let instructions = loop {
            let trial = self.watch.take(path, event, &mut disturber, after)?;
            let seen = match trial.outcome {
                Outcome::TooLate(passed) => {
                    trial.wrong.context("undisturbed")?;
                    if after >= expected {
                        break passed;
                    }
                    // It was a shorter way this time.
                    again += 1;
                    if again > AGAIN {
                        (again, missed, after) = (0, missed + 1, after + stride);
                    }
                    continue;
                }
                Outcome::Disturbed(seen) => seen,
            };
            again = 0;
            tried += 1;
            late += u64::from(seen.went_by_itself() && kind.until() != Until::TimeIsOver);
            if let Err(error) = trial.wrong {
                fell += 1;
                let place = self.symbols.place(seen.at);
                ktap::remark(format!(
                    "{} by {}: instruction {after}, {place}: {error:#}",
                    path.name,
                    kind.name()
                ));
                ensure!(fell < SHOWN, "it falls again and again");
            }
            after += stride;
        };
        disturber.end()?;
        // A process that was killed has not put it back.
        if let Some(interval) = interval {
            fs::write(INTERVAL, interval).context(INTERVAL)?;
        }
        areas::wait_until_back_to(memory)?;
        ktap::remark(format!(
            "{} by {}: instructions {instructions}, tried {tried}, held {}, late {late}, missed {missed}",
            path.name,
            kind.name(),
            tried - fell
        ));
        ensure!(tried > 0, "nothing was tried");
        ensure!(fell == 0, "{fell} of {tried} fell");
        Ok(ktap::Outcome::Passed)
    }
}
