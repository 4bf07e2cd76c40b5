// SPDX-License-Identifier: GPL-2.0
//! All paths with all disturbances, with a result for each pair.

use super::choice::{Choice, Instructions};
use super::disturbance::Disturber;
use super::kind::{Kind, Until};
use super::path::{self, Path, Start};
use super::settings::Settings;
use super::sum::Sum;
use super::trial::{Outcome, Place, Watch, SEVERAL};
use super::tries::{Next, Tries};
use super::trigger::{self, Event, Seen};
use crate::counters::module_is_loaded;
use crate::kernel_text::KernelText;
use crate::{areas, cpus, ktap, machine, module};
use anyhow::{ensure, Context};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path as File;
use std::process::ExitCode;
use std::time::SystemTime;

const INTERRUPTS: &str = "/lib/interrupts.ko";

/// Runs what was chosen from `paths`, and prints the results.
pub fn run(paths: &[&Path], choice: &Choice) -> ExitCode {
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
        return ktap::skip_all("needs two CPUs");
    }
    if !fs::exists(INTERRUPTS).is_ok_and(|is| is) {
        return ktap::skip_all(format!("no {INTERRUPTS}: it is built with the module"));
    }
    let prepared = KernelText::now().and_then(|symbols| {
        let copy = format!("xfd_state={:#x}", symbols.find("xfd_state")?);
        machine::load(INTERRUPTS, &CString::new(copy)?)?;
        let there = module::is_there().then(module::address).transpose()?;
        Ok((Watch::new()?, symbols, there))
    });
    match prepared {
        Ok((watch, symbols, there)) => run_pairs(paths, choice, |seed| Each {
            watch: &watch,
            symbols: RefCell::new(symbols),
            trials: choice.trials,
            instructions: choice.instructions,
            seed,
            lengths: RefCell::default(),
            module: RefCell::new(there),
        }),
        Err(error) => ktap::bail_out(format!("{error:#}")),
    }
}

fn run_pairs<'a>(paths: &[&Path], choice: &Choice, each: impl FnOnce(u64) -> Each<'a>) -> ExitCode {
    let chosen = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let pairs: Vec<(&Path, Kind)> = paths
        .iter()
        .filter(|path| chosen(&choice.paths, path.name))
        .flat_map(|path| path.by.iter().map(|kind| (*path, kind)))
        .filter(|(_, kind)| chosen(&choice.by, kind.name()))
        .skip(choice.part.number - 1)
        .step_by(choice.part.of)
        .collect();
    for name in &choice.paths {
        if !paths.iter().any(|path| path.name == name) {
            return ktap::bail_out(format!("no path {name}: see --list"));
        }
    }
    for name in &choice.by {
        if !Kind::ALL.iter().any(|kind| kind.name() == name) {
            return ktap::bail_out(format!("no disturbance {name}: see --list"));
        }
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let seed = choice.seed.unwrap_or(now.as_secs());
    ktap::remark(format!("seed {seed}"));
    let each = &each(seed);
    ktap::run_named(pairs.into_iter().map(|(path, kind)| {
        let test = move || {
            let result = each.run(path, kind);
            each.watch.forget();
            result
        };
        (format!("{}_by_{}", path.name, kind.name()), test)
    }))
}

struct Each<'a> {
    watch: &'a Watch,
    symbols: RefCell<KernelText>,
    trials: u64,
    instructions: Option<Instructions>,
    seed: u64,
    /// Where a path is, and how many instructions it has when undisturbed: all of them, or only the module's.
    lengths: RefCell<HashMap<Which, Found>>,
    /// Where the module was when that was determined.
    module: RefCell<Option<String>>,
}

/// A path's name, and whether only the module's instructions count.
type Which = (&'static str, bool);

/// A path that was found.
#[derive(Clone)]
struct Found {
    place: Place,
    /// The least and the usual number of its instructions when undisturbed.
    least: u64,
    usual: u64,
}

/// How often a path is measured: another thread may have the CPU in between.
const MEASURED: usize = 5;

/// Where the kernel puts modules: what is counted there is the module loaded on the path.
const MODULES: RangeInclusive<u64> = 0xffff_ffff_c000_0000..=0xffff_ffff_feff_ffff;
const KERNEL_LOG: &str = "/dev/kmsg";
/// Trials per log line, since the console is slow.
const SAID: u64 = 32;
/// By how many instructions a disturbance can make a path longer, for instance because the pool then has one more buffer
/// to free; a switch to another task and back has more.
const MORE: u64 = 200;
/// After so many runs in a row of which it is not known where the further disturbances were, there are no more.
const VAIN: u32 = 16;
/// How many failures to show.
const SHOWN: u64 = 5;

impl Each<'_> {
    fn find(&self, start: Start, in_module_only: bool) -> anyhow::Result<Place> {
        let symbols = self.symbols.borrow();
        let event = match start {
            Start::Arming | Start::Module => Event::Now,
            Start::NextNm => Event::NextNm,
            Start::Mark(function) => Event::Address(function as *const () as u64),
            Start::Function(name) | Start::ModuleIn(name) => Event::Function(symbols.find(name)?),
        };
        let within = match (
            in_module_only || matches!(start, Start::Module | Start::ModuleIn(_)),
            module::is_there(),
        ) {
            (false, _) => None,
            (true, true) => Some(symbols.module("xfd")?),
            (true, false) => Some(MODULES),
        };
        Ok(Place { event, within })
    }

    /// If the module was loaded elsewhere, reads the kernel's symbols again.
    fn follow_module(&self) -> anyhow::Result<()> {
        let there = module::is_there().then(module::address).transpose()?;
        if there.is_some() && *self.module.borrow() != there {
            self.symbols.replace(KernelText::now()?);
            self.lengths.borrow_mut().clear();
            self.module.replace(there);
        }
        Ok(())
    }

    /// Where `path` is, and how many instructions it has.
    fn undisturbed(&self, path: &Path, disturber: &mut Disturber) -> anyhow::Result<Found> {
        self.follow_module()?;
        let key = (path.name, disturber.kind().unloads());
        if let Some(known) = self.lengths.borrow().get(&key) {
            return Ok(known.clone());
        }
        let place = self.find(path.start, key.1)?;
        let mut lengths = Vec::new();
        for _ in 0..MEASURED {
            let trial = self.watch.take(path, &place, disturber, u64::MAX, None)?;
            trial.wrong.context("undisturbed")?;
            if let Outcome::TooLate(passed) = trial.outcome {
                lengths.push(passed);
            }
        }
        lengths.sort_unstable();
        let found = Found {
            place,
            least: *lengths.first().context("no path was measured")?,
            usual: lengths[lengths.len() / 2],
        };
        self.lengths.borrow_mut().insert(key, found.clone());
        Ok(found)
    }

    /// Takes `path` disturbed by `kind` at each instruction, or at the chosen ones.
    fn run(&self, path: &Path, kind: Kind) -> anyhow::Result<ktap::Outcome> {
        if let Some(file) = path.needs.filter(|file| !File::new(file).exists()) {
            return Ok(ktap::Outcome::Skipped(format!("no {file}")));
        }
        if let Some(why) = path.not_without_module.filter(|_| !module_is_loaded()) {
            return Ok(ktap::Outcome::Skipped(why.into()));
        }
        if kind.unloads() && !module::is_there() {
            return Ok(ktap::Outcome::Skipped("the module is not loaded".into()));
        }
        let pair = format!("{} by {}", path.name, kind.name());
        let settings = Settings::now();
        let memory = areas::bytes()?;
        let mut disturber = Disturber::new(kind, path, self.watch.shared())?;
        let Found {
            mut place,
            least,
            usual,
        } = match self.undisturbed(path, &mut disturber) {
            Err(_) if !module_is_loaded() && path.start.is_in_module() => {
                return Ok(ktap::Outcome::Skipped(
                    "this kernel has no such path".into(),
                ))
            }
            found => found?,
        };
        if least == 0 {
            ensure!(!module_is_loaded(), "the path was not taken: {place:x?}");
            return Ok(ktap::Outcome::Skipped(
                "this kernel has no such path".into(),
            ));
        }
        let Instructions { first, last } = self.instructions.unwrap_or(Instructions::ALL);
        let tried = least.min(last.saturating_add(1)).saturating_sub(first);
        let stride = tried.div_ceil(self.trials).max(1);
        let mut sum = Sum::default();
        // All instructions are tried: then several of them in each trial, if possible, but none twice.
        let all = stride == 1 && self.instructions.is_none();
        let several = all && kind.repeats() && !path.once;
        let mut gap = several.then(|| usual.div_ceil(SEVERAL as u64));
        let mut tried = HashSet::new();
        let (mut tries, mut longest) = (Tries::default(), usual);
        let mut after = first + self.seed % stride;
        let (mut unsaid, mut failures, mut in_vain) = (after, 0, 0);
        sum.instructions = loop {
            while tried.contains(&after) {
                after += stride;
            }
            if after > last {
                break longest;
            }
            if kind.unloads() {
                // The module was loaded again, maybe elsewhere.
                place = self.undisturbed(path, &mut disturber)?.place;
            }
            if after >= unsaid {
                let further = gap.map_or(String::new(), |gap| format!(", {gap} apart"));
                log(&format!("{pair}: from instruction {after} on{further}"))?;
                unsaid = after + SAID * stride;
            }
            let further = gap.filter(|gap| !tried.contains(&(after + gap)));
            let trial = self
                .watch
                .take(path, &place, &mut disturber, after, further)?;
            if !matches!(trial.outcome, Outcome::Disturbed) {
                trial.wrong.context("undisturbed")?;
                if let Outcome::TooLate(passed) = trial.outcome {
                    longest = longest.max(passed);
                }
                match tries.count(trial.outcome, after >= least) {
                    Next::Again => {}
                    Next::Missed => {
                        sum.missed += 1;
                        after += stride;
                    }
                    Next::Ended => break longest,
                }
                continue;
            }
            tries = Tries::default();
            let late =
                |seen: &Seen| seen.went_by_itself() && disturber.until() != Until::TimeIsOver;
            let places = || {
                let symbols = self.symbols.borrow();
                let place = |seen: &Seen| format!("{}, {}", seen.passed, symbols.place(seen.at));
                let places: Vec<String> = trial.seen.iter().map(place).collect();
                format!("{pair}: instruction {}", places.join("; "))
            };
            if let Err(error) = &trial.wrong {
                failures += 1;
                say(&format!("{}: {error:#}", places()))?;
                ensure!(failures < SHOWN, "it fails again and again");
                if trial.seen.len() > 1 {
                    // One of them is to blame: they are all tried alone.
                    sum.unclear += 1;
                    gap = None;
                    continue;
                }
                sum.fell += 1;
            }
            // Of the further ones it is known only now at which instructions they were: if nothing else was counted in
            // between. And they must have been in time.
            let known = trial.length.is_some_and(|length| length <= usual + MORE);
            if further.is_some() {
                in_vain = if known { 0 } else { in_vain + 1 };
            }
            if in_vain == VAIN {
                gap = None;
            }
            let new: Vec<&Seen> = trial
                .seen
                .iter()
                .filter(|seen| seen.passed == after || known)
                .filter(|seen| tried.insert(seen.passed))
                .collect();
            sum.late += u64::try_from(new.iter().filter(|seen| late(seen)).count())?;
            if self.instructions.is_some() {
                let late = trial.seen.iter().any(late);
                ktap::remark(format!("{}{}", places(), if late { ", late" } else { "" }));
            }
        };
        sum.tried = u64::try_from(tried.len())?;
        self.watch.end()?;
        disturber.end()?;
        settings.put_back()?;
        path::put_back()?;
        areas::wait_until_back_to(memory)?;
        say(&format!("{pair}: {sum}"))?;
        let waits = path.locked || kind.unloads();
        sum.check(stride == 1 && !waits)
    }
}

/// Writes `line` to the kernel log, the machine's last output after an oops.
fn log(line: &str) -> anyhow::Result<()> {
    fs::write(KERNEL_LOG, format!("<4>{line}\n")).context(KERNEL_LOG)
}

/// The same, and also among the results, which are only seen at the end.
fn say(line: &str) -> anyhow::Result<()> {
    ktap::remark(line);
    log(&line.replace('\n', " "))
}
