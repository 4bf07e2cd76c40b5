// SPDX-License-Identifier: GPL-2.0
//! Threads in system calls whose memory is slow to arrive. Each sleeps in the kernel in one call until standard
//! input has a line or ends. Prints `waiting` once all of them sleep, or with `--every` once the first does,
//! and `right` at the end.

use anyhow::Context;
use clap::{Parser, ValueEnum};
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use xfd_selftests::slow_calls::{self, Frame, PAGES};
use xfd_selftests::slow_memory::SlowMemory;
use xfd_selftests::verdict;

/// Sleeps in the kernel on memory that does not arrive.
#[derive(Parser)]
struct Arguments {
    /// The system call.
    call: Call,

    /// How many threads sleep at once.
    #[arg(long, default_value_t = 4)]
    threads: usize,

    /// Milliseconds between the calls of successive threads.
    #[arg(long)]
    every: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Call {
    /// arch_prctl(ARCH_GET_XCOMP_*)
    Query,
    /// The return from a signal handler, with tiles in the frame.
    Sigreturn,
}

static STOP: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicUsize = AtomicUsize::new(0);

fn main() -> ExitCode {
    verdict::say(work(&Arguments::parse()))
}

fn work(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.call == Call::Sigreturn {
        xcomp::request(xcomp::Feature::TILE_DATA).context("permission for tile data")?;
        slow_calls::handle_signals()?;
    }
    let slow = &SlowMemory::new(arguments.threads * PAGES)?;
    let frames: Vec<_> = (0..arguments.threads).map(|_| Frame::new()).collect();
    let frames: &Vec<usize> = &frames.iter().map(Frame::address).collect();
    RUNNING.store(arguments.threads, Relaxed);
    thread::spawn(|| {
        let _ = io::stdin().read_line(&mut String::new());
        STOP.store(true, Relaxed);
    });
    thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads)
            .map(|number| {
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(
                        number as u64 * arguments.every.unwrap_or(0),
                    ));
                    let result = call(arguments.call, number, slow, frames[number]);
                    RUNNING.fetch_sub(1, Relaxed);
                    result
                })
            })
            .collect();
        let enough = if arguments.every.is_some() {
            1
        } else {
            arguments.threads
        };
        give(enough, slow, frames)?;
        for (number, thread) in threads.into_iter().enumerate() {
            thread
                .join()
                .expect("no panic")
                .with_context(|| format!("thread {number}"))?;
        }
        Ok(())
    })
}

/// One thread's call.
#[expect(unsafe_code, reason = "system calls on memory that arrives late")]
fn call(call: Call, number: usize, slow: &SlowMemory, frame: usize) -> anyhow::Result<()> {
    let to = slow.address(number * PAGES);
    // SAFETY: only this thread uses these pages and this frame, and only the call refers to them.
    unsafe {
        match call {
            Call::Query => slow_calls::query(number, to),
            Call::Sigreturn => slow_calls::sigreturn(number as u64, frame, to),
        }
    }
}

/// Supplies pages when it is time, until no thread is running any more.
#[expect(unsafe_code, reason = "system calls on memory that arrives late")]
fn give(enough: usize, slow: &SlowMemory, frames: &[usize]) -> anyhow::Result<()> {
    let mut waiting = Vec::new();
    let mut told = false;
    while RUNNING.load(Relaxed) > 0 {
        waiting.extend(slow.next_fault(Duration::from_millis(2))?);
        if !told && waiting.len() >= enough {
            println!("waiting");
            told = true;
        }
        if !STOP.load(Relaxed) {
            continue;
        }
        for page in waiting.drain(..) {
            // SAFETY: that frame's thread waits for the page.
            let content = unsafe { slow_calls::page_of(frames[page / PAGES], page % PAGES) };
            match slow.give(page, &content) {
                // It was requested twice.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.with_context(|| format!("page {page}"))?,
            }
        }
    }
    Ok(())
}
