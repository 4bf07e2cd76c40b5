// SPDX-License-Identifier: GPL-2.0
//! Simultaneous signals to many threads with live tiles: permission needs siglock, as does each
//! delivery and each sigreturn. Prints how many there were and how long they took.

use anyhow::ensure;
use std::cell::Cell;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use xcomp::Feature;
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::tile::{content, first_difference, Tile, Tiles, TILES};
use xfd_selftests::worker::in_threads;
use xfd_selftests::{cpus, sys};

/// Signals per thread.
const SIGNALS: u64 = 200;

thread_local! {
    static HANDLED: Cell<u64> = const { Cell::new(0) };
}

/// Handlers that saw tiles of the interrupted thread, or of another one.
static NOT_INITIAL: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    if let Err(error) = xcomp::request(Feature::TILE_DATA) {
        println!("TAP version 13\n1..0 # SKIP no AMX tiles here: {error}");
        return ExitCode::from(4);
    }
    ktap::run(&[
        ("signals_without_tiles", || signals(false, false)),
        ("signals_with_live_tiles", || signals(true, false)),
        ("handlers_that_use_tiles", || signals(true, true)),
    ])
}

extern "C" fn count(_: i32) {
    HANDLED.set(HANDLED.get() + 1);
}

extern "C" fn count_and_use_tiles(_: i32) {
    count(0);
    // A handler must see the tiles in their initial state (7.2: fpu__clear_user_states()).
    if xfd_selftests::tile::configured() {
        NOT_INITIAL.fetch_add(1, Relaxed);
    }
    let mut tiles = Tiles::configure();
    if tiles.store_all() != [Tile::ZERO; TILES] {
        NOT_INITIAL.fetch_add(1, Relaxed);
    }
    tiles.load_all(&content(HANDLED.get()));
}

/// Twice as many threads as CPUs signal themselves. All signals arrive, and no contents are lost.
fn signals(tiles: bool, in_handler: bool) -> anyhow::Result<Outcome> {
    sys::on_signal(
        libc::SIGUSR1,
        if in_handler {
            count_and_use_tiles
        } else {
            count
        },
    )?;
    let threads = 2 * cpus::allowed()?.len();
    let start = Instant::now();
    in_threads(threads, |number| {
        let expected = content(number as u64);
        let mut live = tiles.then(Tiles::configure);
        if let Some(live) = &mut live {
            live.load_all(&expected);
        }
        for sent in 1..=SIGNALS {
            ensure!(
                sys::signal_thread(sys::tid(), libc::SIGUSR1),
                "cannot signal itself"
            );
            let handled = HANDLED.get();
            ensure!(handled == sent, "{handled} signals handled of {sent}");
        }
        if let Some(live) = &mut live {
            let difference = first_difference(&live.store_all(), &expected);
            ensure!(difference.is_none(), "tile, byte, is, must: {difference:?}");
        }
        Ok(())
    })?;
    let foreign = NOT_INITIAL.load(Relaxed);
    ensure!(foreign == 0, "{foreign} handlers found tiles");
    let (all, time) = (threads as u64 * SIGNALS, start.elapsed());
    ktap::remark(format!(
        "{all} signals in {threads} threads: {} us, {} ns each",
        time.as_micros(),
        time.as_nanos() / u128::from(all)
    ));
    Ok(Outcome::Passed)
}
