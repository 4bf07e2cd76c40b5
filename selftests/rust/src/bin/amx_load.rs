// SPDX-License-Identifier: GPL-2.0
//! Keeps AMX in use while something else happens: some threads whose tiles are always live, and a
//! steady supply of new ones. Prints `ready` once all have tiles; exits when standard input ends,
//! with status 0 only if every product and every tile was correct.

use anyhow::{anyhow, ensure, Context};
use clap::Parser;
use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use xcomp::Feature;
use xfd_selftests::cpus;
use xfd_selftests::matrix::{Bf16, I8};
use xfd_selftests::worker::{checked_product, checked_tiles, in_threads};

/// Uses AMX tiles until standard input ends, and reports whether everything went right.
#[derive(Parser)]
struct Arguments {
    /// Threads whose tiles are always live; as many new ones come and go.
    #[arg(long, default_value_t = 2)]
    threads: usize,

    /// Mostly rests with live tiles instead of multiplying.
    #[arg(long)]
    light: bool,
}

/// Set when standard input has ended, or something went wrong.
static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    match work(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("amx_load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(arguments.threads > 0, "--threads must be at least 1");
    xcomp::request(Feature::TILE_DATA).context("permission for tile data")?;

    let products = &AtomicUsize::new(0);
    let ready = &Barrier::new(arguments.threads + 1);
    let fresh = thread::scope(|scope| {
        let long_lived: Vec<_> = (0..arguments.threads as u64)
            .map(|number| scope.spawn(move || work_on(number, arguments.light, ready, products)))
            .collect();
        ready.wait();
        // Not a scoped thread: if something goes wrong, nothing waits for the end of the input.
        thread::spawn(wait_for_the_end);
        println!("ready");
        let fresh = fresh_threads(arguments.threads, arguments.light);
        STOP.store(true, Ordering::Relaxed);
        for (number, thread) in long_lived.into_iter().enumerate() {
            let result = thread.join().unwrap_or_else(|_| Err(anyhow!("panicked")));
            result.with_context(|| format!("thread {number}"))?;
        }
        fresh
    })?;
    println!(
        "right: {} {} in {} threads, and those of {fresh} new ones",
        products.load(Ordering::Relaxed),
        if arguments.light {
            "sets of tiles"
        } else {
            "products"
        },
        arguments.threads
    );
    Ok(())
}

/// Computes products one after another in the calling thread, until it is time to stop.
fn work_on(
    number: u64,
    light: bool,
    ready: &Barrier,
    products: &AtomicUsize,
) -> anyhow::Result<()> {
    let first = checked_tiles(number, || Ok(()));
    ready.wait();
    first?;
    for seed in (number..).step_by(1000) {
        if light {
            checked_tiles(seed, resting)?;
            checked_tiles(seed + 1, resting)?;
        } else {
            checked_product::<I8>(seed, yielding)?;
            checked_product::<Bf16>(seed, yielding)?;
        }
        products.fetch_add(2, Ordering::Relaxed);
        if STOP.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(())
}

/// Computes a product in each of `at_a_time` new threads, repeatedly until it is time to stop. Returns the
/// number of threads.
fn fresh_threads(at_a_time: usize, light: bool) -> anyhow::Result<usize> {
    let mut threads = 0;
    while !STOP.load(Ordering::Relaxed) {
        in_threads(at_a_time, |number| {
            if light {
                checked_tiles(number as u64, resting)
            } else {
                checked_product::<I8>(number as u64, yielding)
            }
        })?;
        threads += at_a_time;
    }
    Ok(threads)
}

fn yielding() -> anyhow::Result<()> {
    cpus::give_way();
    Ok(())
}

/// Leaves the processor to others for a while.
fn resting() -> anyhow::Result<()> {
    thread::sleep(Duration::from_millis(2));
    Ok(())
}

/// Reads standard input to its end, and then stops everything.
fn wait_for_the_end() {
    // Unreadable input counts as ended.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    STOP.store(true, Ordering::Relaxed);
}
