// SPDX-License-Identifier: GPL-2.0
//! A thread that goes through all visible states, one step per line of standard input: it may use tiles, has live
//! ones, has released them, has new ones. It prints each stage and sleeps in it.

use anyhow::{ensure, Context};
use std::io;
use xfd_selftests::worker::checked_tiles;

fn main() -> anyhow::Result<()> {
    xcomp::request(xcomp::Feature::TILE_DATA).context("permission for tile data")?;
    stage("permitted")?;
    checked_tiles(1, || stage("live"))?;
    stage("idle")?;
    checked_tiles(2, || stage("again"))
}

fn stage(name: &str) -> anyhow::Result<()> {
    println!("{name}");
    let read = io::stdin().read_line(&mut String::new())?;
    ensure!(read > 0, "standard input has ended");
    Ok(())
}
