// SPDX-License-Identifier: GPL-2.0
//! Threads that have used tiles, no longer need them, and sleep until standard input has a line or ends. Then they
//! use tiles again. Prints `ready` once all are asleep, or about to be.

use anyhow::Context;
use clap::Parser;
use std::io;
use std::sync::{Barrier, RwLock};
use xfd_selftests::worker::{checked_tiles, in_threads};

/// Sleeps with buffers for unused tiles.
#[derive(Parser)]
struct Arguments {
    /// Number of threads.
    #[arg(long, default_value_t = 3)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let Arguments { threads } = Arguments::parse();
    xcomp::request(xcomp::Feature::TILE_DATA).context("permission for tile data")?;
    let (used, end) = (&Barrier::new(threads + 1), &RwLock::new(()));
    in_threads(threads + 1, |number| {
        if number == threads {
            let _held = end.write().expect("no thread panics");
            used.wait();
            println!("ready");
            io::stdin().read_line(&mut String::new())?;
            return Ok(());
        }
        checked_tiles(number as u64, || Ok(()))?;
        used.wait();
        drop(end.read());
        checked_tiles(number as u64 + 100, || Ok(()))
    })
}
