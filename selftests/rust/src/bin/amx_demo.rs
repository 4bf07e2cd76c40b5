// SPDX-License-Identifier: GPL-2.0
//! Shows what the module does: a program without permission, one with it, and what happened at each
//! thread's first tile instruction, as recorded by the kernel.

use anyhow::{ensure, Context};
use clap::{Parser, ValueEnum};
use rustix::thread::gettid;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use xcomp::Feature;
use xfd_selftests::counters::Counters;
use xfd_selftests::event::{FirstUse, Recording};
use xfd_selftests::matrix::{self, I8, SIZE};
use xfd_selftests::tile::Tiles;
use xfd_selftests::worker::in_threads;

/// Shows the first use of AMX, step by step. The module must be loaded.
#[derive(Parser)]
struct Arguments {
    /// Threads that multiply matrices on tiles.
    #[arg(long, default_value_t = 3)]
    threads: usize,
    /// What the time-stamp counter counts on this machine.
    #[arg(long, value_enum, default_value_t = Clock::Ticks)]
    clock: Clock,
    /// As part of the demo, uses a tile without permission, and dies of it.
    #[arg(long, hide = true)]
    unpermitted: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Clock {
    /// TSC ticks, as on real processors.
    Ticks,
    /// Instructions, as on an emulated machine with one CPU.
    Instructions,
}

const SIGILL: i32 = 4;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.unpermitted {
        Tiles::configure().zero::<0>();
        return ExitCode::SUCCESS;
    }
    match show(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("amx_demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(
        (1..=64).contains(&arguments.threads),
        "--threads must be from 1 to 64"
    );
    let supported = xcomp::supported()?;
    ensure!(
        supported.contains(Feature::TILE_DATA),
        "this machine has no AMX: it supports only {supported}"
    );
    let recording = Recording::start()?;
    let before = Counters::now().context("the module's counters")?;

    heading("1. A program that did not ask");
    let unpermitted = show_unpermitted()?;
    heading("2. A program that asked");
    let threads = show_permitted(arguments.threads)?;

    heading("3. What happened at each first tile instruction");
    let events = recording.read()?;
    let event_of = |tid: u32| {
        let mut own = events.iter().filter(|event| event.tid == tid);
        let event = own
            .next()
            .with_context(|| format!("nothing was recorded for thread {tid}"))?;
        ensure!(
            own.next().is_none(),
            "thread {tid} was in the handler twice"
        );
        Ok(event)
    };
    show_event(
        "the program that did not ask",
        event_of(unpermitted)?,
        arguments.clock,
    );
    for (number, &tid) in threads.iter().enumerate() {
        println!();
        let name = format!("thread {number} of the one that asked");
        show_event(&name, event_of(tid)?, arguments.clock);
    }

    heading("4. The module's counters");
    let now = Counters::now()?;
    for ((name, value, meaning), (_, former, _)) in now.named().iter().zip(before.named()) {
        println!("   {name:<20}{former:>3} -> {value:<5}{meaning}");
    }
    println!();
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}\n");
}

/// Starts this program again, without permission, and prints how it ended. Returns its TID.
fn show_unpermitted() -> anyhow::Result<u32> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--unpermitted")
        .spawn()
        .context("starting this program again")?;
    let tid = child.id();
    let status = child.wait()?;
    ensure!(
        status.signal() == Some(SIGILL),
        "it ended with {status}, not by SIGILL"
    );
    println!("   TILEZERO in process {tid}, no permission: died of SIGILL.");
    Ok(tid)
}

/// Asks for permission, and computes a product in each thread. Returns the TIDs.
fn show_permitted(threads: usize) -> anyhow::Result<Vec<u32>> {
    let before = xcomp::permitted()?;
    xcomp::request(Feature::TILE_DATA).context("asking for tile data")?;
    let after = xcomp::permitted()?;
    println!("   arch_prctl(ARCH_REQ_XCOMP_PERM, 18): permitted {before} -> {after}");
    println!("   {threads} threads, in each a product of {SIZE}x{SIZE} bytes on tiles:");

    let (report, reports) = mpsc::channel();
    in_threads(threads, |number| {
        let seed = 2 * number as u64;
        let (a, b) = (matrix::random::<I8>(seed), matrix::random::<I8>(seed + 1));
        let product = matrix::tile_product(&a, &b, || {});
        let right = matrix::right_elements(&product, &matrix::plain_product(&a, &b));
        let tid = gettid().as_raw_nonzero().get().unsigned_abs();
        Ok(report.send((number, tid, right))?)
    })?;
    drop(report);
    let mut reports: Vec<_> = reports.iter().collect();
    reports.sort_unstable();
    for (number, tid, right) in &reports {
        println!(
            "     thread {number} ({tid}): {right} of {} elements right",
            SIZE * SIZE
        );
    }
    ensure!(
        reports.iter().all(|&(_, _, right)| right == SIZE * SIZE),
        "a product is wrong"
    );
    Ok(reports.iter().map(|&(_, tid, _)| tid).collect())
}

/// Prints the five steps of one first use, always of tile data, the only such facility.
fn show_event(name: &str, event: &FirstUse, clock: Clock) {
    let step = |number: usize, what: &str, outcome: String| {
        println!("     {number}  {what:<15}{outcome}");
    };
    println!("   {name} ({}, CPU {})", event.tid, event.cpu);
    step(
        1,
        "read XFD_ERR",
        format!("{:#x}, tile data", event.xfd_err),
    );
    step(2, "clear XFD_ERR", format!("{:#x}", event.xfd_err_after));
    let is = if event.is_permitted() {
        "is in it"
    } else {
        "is not in it"
    };
    step(
        3,
        "permission",
        format!("{:#x}, tile data {is}", event.permitted),
    );
    step(
        4,
        "buffer",
        format!("{} bytes", arrow(event.size_before, event.size_after)),
    );
    step(
        5,
        "XFD",
        if event.xfd_before == event.xfd_after {
            format!("still {:#x}, armed", event.xfd_after)
        } else {
            format!("{:#x} -> {:#x}", event.xfd_before, event.xfd_after)
        },
    );
    let end = match event.verdict.as_str() {
        "resume" => "back to the instruction",
        "sigill" => "SIGILL",
        "sigsegv" => "SIGSEGV",
        other => other,
    };
    let unit = match clock {
        Clock::Ticks => "TSC ticks",
        Clock::Instructions => "instructions",
    };
    println!("        {end}, after {} {unit}", event.tsc);
}

/// A change, or the value if unchanged.
fn arrow(before: u64, after: u64) -> String {
    if before == after {
        format!("still {after}")
    } else {
        format!("{before} -> {after}")
    }
}
