// SPDX-License-Identifier: GPL-2.0
//! Hundreds of threads that do everything a thread with tiles can do, at random, with all contents
//! checked. See Documentation/stress.rst.

use anyhow::{bail, ensure, Context};
use clap::Parser;
use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use xfd_selftests::counters::{build_id, module_is_loaded, Counters};
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::stress::plan::{Ending, Operation};
use xfd_selftests::stress::shared::{Shared, MAX_PROCESSES};
use xfd_selftests::stress::supervisor::Supervisor;
use xfd_selftests::stress::{child, process, Place};
use xfd_selftests::sys;

/// Uses AMX tiles in many threads, in every way at once, and checks all contents
#[derive(Clone, Parser)]
struct Arguments {
    /// Chooses the operations of each thread [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Ends after this many operations across all threads [default: 20000]
    #[arg(long)]
    operations: Option<u64>,
    /// Ends after this many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Ends when standard input does, and prints `ready` when all processes have started
    #[arg(long)]
    until_end: bool,
    /// Concurrent processes
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=MAX_PROCESSES as i64))]
    processes: u32,
    /// Threads per process
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    threads: u32,
    /// Takes CPUs offline and online in the meantime
    #[arg(long)]
    hotplug: bool,
    /// Only this process, in the form that a failure names it: PROCESS.GENERATION
    #[arg(long)]
    only: Option<String>,
    /// What a child does after exec
    #[arg(long, hide = true)]
    child: Option<String>,
    /// Continues as this process after exec
    #[arg(long, hide = true)]
    image: Option<String>,
}

/// What the tests below know about the run.
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

/// The program of a process after exec: DESCRIPTOR:PROCESS:GENERATION.
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
        // A failure must be traceable to the build that ran, which may not match the current sources.
        let build = build_id().unwrap_or_else(|e| format!("unknown: {e:#}"));
        println!("# the module's build ID {build}");
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
    let mut supervisor = Supervisor::new(shared, fd, arguments.only.clone());
    supervisor.begin()?;
    if arguments.until_end {
        println!("ready");
        std::thread::spawn(|| {
            // Unreadable input counts as ended.
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

/// All contents were correct, and every process and child ended as it must.
fn contents_and_ends() -> anyhow::Result<Outcome> {
    let failures = the_run()?.failures();
    ensure!(
        failures == 0,
        "{failures} failures; each has a line above that starts with `wrong`"
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

/// The module counted at least the first uses and denials observed, and nothing that must not happen.
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
