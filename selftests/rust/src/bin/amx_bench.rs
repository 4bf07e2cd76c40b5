// SPDX-License-Identifier: GPL-2.0
//! Counts what AMX costs in the kernel, whichever code currently handles first uses. The output is
//! for the runner; `machine bench` turns it into a table.

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use xcomp::Feature;
use xfd_selftests::bench::clock::Clock;
use xfd_selftests::bench::{
    calls, first_use, guests, kernel_tiles, memory, module, report, switch, tasks,
};
use xfd_selftests::cpus;

/// Counts what AMX costs in the kernel
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// All rows for one thread at a time
    Rows,
    /// First uses only
    FirstUse,
    /// A little of everything that runs quickly
    Brief,
    /// Virtual CPUs
    Guests,
    /// First uses on several CPUs at once
    AtOnce,
    /// Sections of kernel code that use FPU registers; the sample module must be loaded
    KernelTiles,
    /// Load this module
    Load { file: PathBuf },
    /// Disable and unload the module
    Unload,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = measure(&arguments.what);
    report::print();
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("amx_bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(what: &What) -> anyhow::Result<()> {
    let clock = &Clock::best();
    match what {
        What::Rows => rows(clock),
        What::FirstUse => first_uses(clock),
        What::Brief => brief(clock),
        What::Guests => guests(clock),
        What::AtOnce => at_once(clock),
        What::KernelTiles => kernel_sections(clock),
        What::Load { file } => module::load(clock, file),
        What::Unload => module::unload(clock),
    }
}

/// The order matters: a process asks for permission once, and then keeps it.
fn rows(clock: &Clock) -> anyhow::Result<()> {
    cpus::pin_to(cpus::allowed()?[0])?;
    // Lets pending work from booting or loading finish.
    tasks::drain(clock, 10);
    calls::control(clock, 40);
    first_use::cold(clock, 16)?;
    first_use::process(clock, 16)?;
    calls::permission(clock, 40)?;
    first_use::warm(clock, 64)?;
    first_use::pool(clock, 4)?;
    tasks::forks(clock, 24)?;
    switch::switches(clock, 40)?;
    tasks::execs(clock, 128)?;
    tasks::threads(clock, 2048)?;
    memory::of_threads(1000)?;
    calls::signals(clock, 40)
}

fn first_uses(clock: &Clock) -> anyhow::Result<()> {
    cpus::pin_to(cpus::allowed()?[0])?;
    tasks::drain(clock, 10);
    first_use::cold(clock, 16)?;
    first_use::process(clock, 16)?;
    xcomp::request(Feature::TILE_DATA).context("permission for tile data")?;
    first_use::warm(clock, 64)?;
    first_use::pool(clock, 4)
}

fn brief(clock: &Clock) -> anyhow::Result<()> {
    cpus::pin_to(cpus::allowed()?[0])?;
    calls::control(clock, 8);
    calls::permission(clock, 8)?;
    first_use::warm(clock, 16)?;
    switch::switches(clock, 8)?;
    calls::signals(clock, 8)
}

fn kernel_sections(clock: &Clock) -> anyhow::Result<()> {
    cpus::pin_to(cpus::allowed()?[0])?;
    xcomp::request(Feature::TILE_DATA).context("permission for tile data")?;
    kernel_tiles::sections(clock, 40)
}

fn guests(clock: &Clock) -> anyhow::Result<()> {
    cpus::pin_to(cpus::allowed()?[0])?;
    guests::lives(clock, 16)?;
    guests::exits(clock, 16)
}

fn at_once(clock: &Clock) -> anyhow::Result<()> {
    xcomp::request(Feature::TILE_DATA).context("permission for tile data")?;
    for threads in [1, 2, 4] {
        first_use::at_once(clock, threads, 24)?;
    }
    first_use::beside_a_reader(clock, 64)
}
