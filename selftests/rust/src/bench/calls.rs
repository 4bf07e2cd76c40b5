// SPDX-License-Identifier: GPL-2.0
//! System calls and signals, measured from just before the call to just after it.

use super::clock::{Clock, Values};
use super::report;
use super::tasks::in_child;
use crate::sys;
use crate::tile::{self, Tiles};
use anyhow::Context;
use rustix::process::getppid;
use std::thread;
use xcomp::Feature;

fn times(clock: &Clock, times: usize, mut call: impl FnMut()) -> Vec<Values> {
    // The first calls fault in pages and warm cache lines for later ones.
    for _ in 0..4 {
        call();
    }
    let one = |_| {
        let mark = clock.mark();
        call();
        clock.since(&mark)
    };
    (0..times).map(one).collect()
}

/// `getppid`: a call unrelated to AMX.
pub fn control(clock: &Clock, count: usize) {
    let spans = times(clock, count, || {
        let _ = getppid();
    });
    report::spans("getppid", clock, &spans);
}

/// `permission.request`, each in a new process; then, in a process that has permission,
/// `permission.repeated` and `permission.query`.
///
/// # Errors
///
/// Permission is refused.
pub fn permission(clock: &Clock, count: usize) -> anyhow::Result<()> {
    let first = || {
        in_child(|| {
            // A warm-up call; the request itself can be made only once.
            xcomp::permitted()?;
            let _ = clock.since(&clock.mark());
            let mark = clock.mark();
            let asked = xcomp::request(Feature::TILE_DATA);
            let values = clock.since(&mark);
            asked?;
            Ok(values)
        })
    };
    let spans: anyhow::Result<Vec<_>> = (0..count).map(|_| first()).collect();
    report::spans("permission.request", clock, &spans?);

    xcomp::request(Feature::TILE_DATA).context("permission for tile data")?;
    let spans = times(clock, count, || {
        let _ = xcomp::request(Feature::TILE_DATA);
    });
    report::spans("permission.repeated", clock, &spans);
    let spans = times(clock, count, || {
        let _ = xcomp::permitted();
    });
    report::spans("permission.query", clock, &spans);
    Ok(())
}

extern "C" fn do_nothing(_: i32) {}

/// `signal.plain`, `signal.amx`: a thread signals itself: delivery, an empty handler, sigreturn. In
/// the latter, eight tiles are live.
///
/// # Errors
///
/// The handler cannot be installed.
pub fn signals(clock: &Clock, count: usize) -> anyhow::Result<()> {
    sys::on_signal(SIGUSR1, do_nothing)?;
    let own = sys::tid();
    let signal = move || {
        sys::signal_thread(own, SIGUSR1);
    };
    let plain = thread::scope(|scope| {
        let work = || {
            let own = sys::tid();
            times(clock, count, move || {
                sys::signal_thread(own, SIGUSR1);
            })
        };
        scope.spawn(work).join()
    });
    let plain = plain.ok().context("a thread panicked")?;
    report::spans("signal.plain", clock, &plain);
    let mut tiles = Tiles::configure();
    tiles.load_all(&tile::content(1));
    report::spans("signal.amx", clock, &times(clock, count, signal));
    Ok(())
}

const SIGUSR1: i32 = 10;
