// SPDX-License-Identifier: GPL-2.0
//! Hundreds of threads that do everything a thread with tiles can do, at random, with every
//! content checked. See Documentation/stress.rst.

use anyhow::{bail, ensure, Context};
use clap::Parser;
use std::collections::HashMap;
use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use xfd_selftests::counters::{module_is_loaded, Counters};
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::stress::plan::{Ending, Operation};
use xfd_selftests::stress::shared::{Shared, MAX_PROCESSES};
use xfd_selftests::stress::{child, failure, outside, process, Place};
use xfd_selftests::sys::{self, End};

/// Uses AMX tiles in many threads, in every way at once, and checks each content
#[derive(Clone, Parser)]
struct Arguments {
    /// Chooses the operations of each thread [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Ends after so many operations of all threads together [default: 20000]
    #[arg(long)]
    operations: Option<u64>,
    /// Ends after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Ends with standard input, and prints `ready` when all processes were started
    #[arg(long)]
    until_end: bool,
    /// Processes at a time
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=MAX_PROCESSES as i64))]
    processes: u32,
    /// Threads in each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    threads: u32,
    /// Switches CPUs off and on meanwhile
    #[arg(long)]
    hotplug: bool,
    /// Only this process, as a failure names it: PROCESS.GENERATION
    #[arg(long)]
    only: Option<String>,
    /// What a child does after exec
    #[arg(long, hide = true)]
    child: Option<String>,
    /// Goes on as this process after exec
    #[arg(long, hide = true)]
    image: Option<String>,
}

/// The run, for the tests that judge it.
static RUN: OnceLock<&'static Shared> = OnceLock::new();
static BEFORE: OnceLock<Counters> = OnceLock::new();

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(how) = &arguments.child {
        return match child::after_exec(how) {
            Ok(status) => sys::exit_now(status),
            Err(e) => {
                sys::print_now(&format!("# wrong: after exec: {e:#}\n"));
                ExitCode::FAILURE
            }
        };
    }
    if let Some(image) = &arguments.image {
        return match go_on(image) {
            Ok(never) => never,
            Err(e) => {
                sys::print_now(&format!("# wrong: after exec: {e:#}\n"));
                ExitCode::FAILURE
            }
        };
    }
    match xcomp::supported() {
        Ok(s) if s.contains(xcomp::Feature::TILE_DATA) => {}
        _ => {
            println!("TAP version 13\n1..0 # SKIP no AMX tiles here");
            return ExitCode::from(4);
        }
    }
    if let Err(e) = run(&arguments) {
        println!("TAP version 13\n1..1\n# {e:#}\nnot ok 1 run");
        return ExitCode::FAILURE;
    }
    ktap::run(&[
        ("contents_and_ends", contents_and_ends),
        ("every_kind_was_done", every_kind_was_done),
        ("the_module_counted_them", the_module_counted_them),
    ])
}

/// The image of a process after exec: DESCRIPTOR:PROCESS:GENERATION.
fn go_on(image: &str) -> anyhow::Result<ExitCode> {
    let numbers: Vec<u32> = image.split(':').map(str::parse).collect::<Result<_, _>>()?;
    let [fd, slot, generation] = numbers[..] else {
        bail!("--image {image}")
    };
    let shared = Shared::attach(fd as i32)?;
    let place = Place {
        seed: shared.seed.load(Relaxed),
        slot,
        generation,
        thread: 0,
    };
    process::run(shared, fd as i32, place, true)
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("clock")?;
    let seed = arguments
        .seed
        .unwrap_or(now.as_micros() as u64 % 1_000_000_000);
    println!("# seed {seed}");
    let (shared, fd) = Shared::create().context("shared memory")?;
    let _ = RUN.set(shared);
    if module_is_loaded() {
        BEFORE.get_or_init(|| Counters::now().expect("the module's counters"));
    }
    let bounded = arguments.seconds.is_some() || arguments.until_end || arguments.only.is_some();
    let limit = arguments
        .operations
        .unwrap_or(if bounded { 0 } else { 20_000 });
    shared.seed.store(seed, Relaxed);
    shared.threads.store(arguments.threads, Relaxed);
    shared.processes.store(arguments.processes, Relaxed);
    shared.hotplug.store(arguments.hotplug.into(), Relaxed);
    shared.limit.store(limit, Relaxed);
    extern "C" fn stop(_: i32) {
        if let Some(shared) = RUN.get() {
            shared.stop();
        }
    }
    sys::on_signal(libc::SIGTERM, stop)?;
    sys::on_signal(libc::SIGINT, stop)?;
    // Children that outlive their parents become ours, and are judged too.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)?;

    let start = Instant::now();
    let mut supervisor = Supervisor {
        shared,
        fd,
        seed,
        arguments,
        processes: HashMap::new(),
    };
    supervisor.begin()?;
    if arguments.until_end {
        println!("ready");
        std::thread::spawn(|| {
            // An input that can not be read has ended as well.
            let _ = io::stdin().read_to_end(&mut Vec::new());
            stop(0);
        });
    }
    if let Some(seconds) = arguments.seconds {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(seconds));
            stop(0);
        });
    }
    supervisor.until_all_have_ended()?;
    report(shared, start.elapsed());
    Ok(())
}

struct Supervisor<'a> {
    shared: &'static Shared,
    fd: i32,
    seed: u64,
    arguments: &'a Arguments,
    /// pid -> as which process it was started; none: tracer, hotplug.
    processes: HashMap<i32, Option<Place>>,
}

impl Supervisor<'_> {
    fn begin(&mut self) -> anyhow::Result<()> {
        if let Some(only) = &self.arguments.only {
            let (slot, generation) = only.split_once('.').context("--only PROCESS.GENERATION")?;
            return self.start(slot.parse()?, generation.parse()?);
        }
        self.start_outside(outside::trace)?;
        if self.arguments.hotplug {
            self.start_outside(outside::hotplug)?;
        }
        (0..self.arguments.processes).try_for_each(|slot| self.start(slot, 0))
    }

    fn start_outside(&mut self, work: fn(&Shared)) -> anyhow::Result<()> {
        let pid = sys::fork()?;
        if pid == 0 {
            work(self.shared);
            sys::exit_now(0);
        }
        self.processes.insert(pid, None);
        Ok(())
    }

    fn start(&mut self, slot: u32, generation: u32) -> anyhow::Result<()> {
        ensure!((slot as usize) < MAX_PROCESSES, "no process {slot}");
        let place = Place {
            seed: self.seed,
            slot,
            generation,
            thread: 0,
        };
        let pid = sys::fork()?;
        if pid == 0 {
            process::run(self.shared, self.fd, place, false);
        }
        self.processes.insert(pid, Some(place));
        Ok(())
    }

    /// Judges each end; starts the next in its place, until the run is over.
    fn until_all_have_ended(&mut self) -> anyhow::Result<()> {
        let (mut said, start) = (0, Instant::now());
        loop {
            let (pid, end) = match sys::wait(-1, 0) {
                Ok(ended) => ended,
                Err(e) if e.raw_os_error() == Some(libc::ECHILD) => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let over = self.shared.over();
            match self.processes.remove(&pid) {
                Some(Some(place)) => {
                    let (expected, last) = process::expected_end(place, self.arguments.threads);
                    // When the run ends, threads end before their plan does.
                    if end != expected && !(over && end == End::Exit(0)) {
                        let what = format_args!("ended by {end:?}, must be {expected:?}");
                        failure(
                            self.shared,
                            Place {
                                generation: last,
                                ..place
                            },
                            what,
                        );
                    } else if !over && self.arguments.only.is_none() {
                        self.start(place.slot, last + 1)?;
                    }
                }
                Some(None) if end == End::Exit(0) => {}
                None if child::is_an_end(end) => {}
                _ => {
                    let place = Place {
                        seed: self.seed,
                        slot: u32::MAX,
                        generation: 0,
                        thread: 0,
                    };
                    failure(self.shared, place, format_args!("child {pid}: {end:?}"));
                }
            }
            let total = self.shared.total();
            if total >= said + 2000 {
                said = total;
                println!(
                    "# {total} operations, {} ms, {}",
                    start.elapsed().as_millis(),
                    load()
                );
            }
        }
    }
}

/// Tasks and free memory: what is lost little by little shows here.
fn load() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (load, memory) = (read("/proc/loadavg"), read("/proc/meminfo"));
    let tasks = load.split(&[' ', '/']).nth(4).unwrap_or("?");
    let free = memory
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))
        .unwrap_or("?");
    format!("{tasks} tasks, {} free", free.trim())
}

fn report(shared: &Shared, time: Duration) {
    let operations = Operation::ALL.map(|(o, name, _)| format!("{name} {}", shared.done(o)));
    let endings = Ending::ALL.map(|(e, name)| format!("{name} {}", shared.ended(e)));
    println!(
        "# {} operations in {} s: {}",
        shared.total(),
        time.as_secs(),
        operations.join(", ")
    );
    println!("# processes that ended: {}", endings.join(", "));
    println!(
        "# first uses {}, denied {}, traced {}, CPUs off and on {}",
        shared.first_uses.load(Relaxed),
        shared.denied.load(Relaxed),
        shared.traces.load(Relaxed),
        shared.hotplugs.load(Relaxed),
    );
}

fn the_run() -> anyhow::Result<&'static Shared> {
    RUN.get().copied().context("there was no run")
}

/// Every content was what it must be, every process and child ended as it must.
fn contents_and_ends() -> anyhow::Result<Outcome> {
    let failures = the_run()?.failures();
    ensure!(
        failures == 0,
        "{failures} failures; each has a line above that begins with `wrong`"
    );
    Ok(Outcome::Passed)
}

fn every_kind_was_done() -> anyhow::Result<Outcome> {
    let shared = the_run()?;
    if shared.total() < 5000 {
        return Ok(Outcome::Skipped(format!(
            "a short run: {} operations",
            shared.total()
        )));
    }
    for (operation, name, _) in Operation::ALL {
        ensure!(shared.done(operation) > 0, "{name} was never done");
    }
    for (ending, name) in Ending::ALL {
        ensure!(shared.ended(ending) > 0, "no process ended by {name}");
    }
    Ok(Outcome::Passed)
}

/// At least those first uses and denials that were seen, and nothing that must not be.
fn the_module_counted_them() -> anyhow::Result<Outcome> {
    let shared = the_run()?;
    let Some(before) = BEFORE.get() else {
        return Ok(Outcome::Skipped("the module is not loaded".into()));
    };
    let now = Counters::now()?;
    let (uses, denied) = (shared.first_uses.load(Relaxed), shared.denied.load(Relaxed));
    ensure!(
        now.first_uses - before.first_uses >= uses,
        "first_uses: {now:?}, seen {uses}"
    );
    ensure!(
        now.denied - before.denied >= denied,
        "denied: {now:?}, seen {denied}"
    );
    ensure!(now.repeated == before.repeated, "repeated: {now:?}");
    ensure!(
        now.failed_allocations == before.failed_allocations,
        "{now:?}"
    );
    ensure!(now.in_flight == 0, "in_flight: {now:?}");
    Ok(Outcome::Passed)
}
