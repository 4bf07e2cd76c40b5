// SPDX-License-Identifier: GPL-2.0
//! Context switches: a byte to another thread on the same CPU and one back, through two pipes: two
//! switches, two reads, two writes. Both threads have the same real-time priority where allowed, so that
//! each runs until it waits; otherwise the scheduler sometimes switches earlier.

use super::clock::{Clock, Values};
use super::report;
use crate::cpus;
use crate::sys;
use crate::tile::{self, Tiles};
use anyhow::{ensure, Context};
use rustix::fd::OwnedFd;
use rustix::io::{read, write};
use rustix::pipe::pipe;
use std::thread;

/// Live tiles in a thread, or none.
fn tiles(live: bool) -> Option<Tiles> {
    live.then(|| {
        let mut tiles = Tiles::configure();
        tiles.load_all(&tile::content(1));
        tiles
    })
}

fn pass(from: &OwnedFd, to: &OwnedFd) -> anyhow::Result<bool> {
    let mut byte = [0];
    if read(from, &mut byte)? == 0 {
        return Ok(false);
    }
    write(to, &byte)?;
    Ok(true)
}

fn round_trips(clock: &Clock, one: bool, other: bool, count: usize) -> anyhow::Result<Vec<Values>> {
    let cpu = cpus::allowed()?[0];
    let (to_read, to_write) = pipe()?;
    let (back_read, back_write) = pipe()?;
    thread::scope(|scope| {
        let echo = scope.spawn(move || -> anyhow::Result<()> {
            cpus::pin_to(cpu)?;
            let _ = sys::run_first();
            let _live = tiles(other);
            while pass(&to_read, &back_write)? {}
            Ok(())
        });
        let caller = scope.spawn(move || -> anyhow::Result<Vec<Values>> {
            cpus::pin_to(cpu)?;
            let _ = sys::run_first();
            let _live = tiles(one);
            let mut spans = Vec::with_capacity(count);
            for trip in 0..count + 4 {
                let mut byte = [0];
                let mark = clock.mark();
                write(&to_write, &byte)?;
                let got = read(&back_read, &mut byte)?;
                let values = clock.since(&mark);
                ensure!(got == 1, "the other thread is gone");
                // On the first trips the other thread may not be waiting yet.
                if trip >= 4 {
                    spans.push(values);
                }
            }
            Ok(spans)
        });
        let spans = caller.join().ok().context("a thread panicked")??;
        echo.join().ok().context("a thread panicked")??;
        Ok(spans)
    })
}

/// `switch.plain_plain`, `switch.amx_plain`, `switch.amx_amx`, depending on which of the two threads
/// has live tiles.
///
/// # Errors
///
/// A pipe or thread cannot be created.
pub fn switches(clock: &Clock, count: usize) -> anyhow::Result<()> {
    for (row, one, other) in [
        ("switch.plain_plain", false, false),
        ("switch.amx_plain", true, false),
        ("switch.amx_amx", true, true),
    ] {
        let spans = round_trips(clock, one, other, count).context(row)?;
        report::spans(row, clock, &spans);
    }
    Ok(())
}
