// SPDX-License-Identifier: GPL-2.0
//! Threads that sleep with live tiles throughout, and as many again that keep starting, using tiles and exiting.
//! Prints `ready` once all that stay have tiles; exits when standard input has a line or ends.

use anyhow::Context;
use clap::Parser;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Barrier, RwLock};
use std::thread;
use std::time::Duration;
use xfd_selftests::worker::{checked_tiles, in_threads};

/// A process with many threads.
#[derive(Parser)]
struct Arguments {
    /// Number of threads that stay; as many come and go.
    #[arg(long, default_value_t = 500)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let Arguments { threads } = Arguments::parse();
    xcomp::request(xcomp::Feature::TILE_DATA).context("permission for tile data")?;
    let (ready, end, ends) = (
        &Barrier::new(threads + 1),
        &RwLock::new(()),
        &AtomicBool::new(false),
    );
    in_threads(threads + 2, |number| {
        if number < threads {
            return checked_tiles(number as u64, || {
                ready.wait();
                drop(end.read());
                Ok(())
            });
        }
        if number == threads {
            let _held = end.write().expect("no thread panics");
            ready.wait();
            println!("ready");
            io::stdin().read_line(&mut String::new())?;
            ends.store(true, SeqCst);
            return Ok(());
        }
        let all = Barrier::new(threads);
        while !ends.load(SeqCst) {
            in_threads(threads, |number| {
                checked_tiles(number as u64, || {
                    all.wait();
                    // Stays long enough to be seen, and leaves the CPUs to others.
                    thread::sleep(Duration::from_millis(100));
                    Ok(())
                })
            })?;
        }
        Ok(())
    })
}
