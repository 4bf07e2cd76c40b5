// SPDX-License-Identifier: GPL-2.0
//! A real-time thread with live tiles that never leaves its CPU, until killed. Prints `ready` first.

use anyhow::Context;
use clap::Parser;
use std::hint;
use xfd_selftests::tile::{content, Tiles};
use xfd_selftests::{cpus, sys};

/// Keeps a CPU busy with live tiles.
#[derive(Parser)]
struct Arguments {
    /// The CPU.
    cpu: usize,
}

fn main() -> anyhow::Result<()> {
    let Arguments { cpu } = Arguments::parse();
    xcomp::request(xcomp::Feature::TILE_DATA).context("permission for tile data")?;
    cpus::pin_to(cpu)?;
    let mut tiles = Tiles::configure();
    tiles.load_all(&content(1));
    println!("ready");
    sys::run_first()?;
    loop {
        hint::spin_loop();
    }
}
