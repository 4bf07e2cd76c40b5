// SPDX-License-Identifier: GPL-2.0
//! Threads, processes and programs that come and go. Much of the cost of an exit is deferred, to RCU
//! or a work queue. Therefore many tasks run one after another, and the span ends when the CPU has
//! nothing left to do.

use super::clock::{Clock, Values};
use super::first_use;
use super::report;
use crate::sys::{self, End};
use crate::tile::{self, Tiles};
use anyhow::{ensure, Context};
use rustix::io::{read, write};
use rustix::pipe::pipe;
use std::process::Command;
use std::thread;
use std::time::Duration;
use xcomp::Feature;

/// Measures in a child process, which passes back the result of `work`.
///
/// # Errors
///
/// Errors from `work`; a process cannot be created.
pub fn in_child(work: impl FnOnce() -> anyhow::Result<Values>) -> anyhow::Result<Values> {
    let (from, to) = pipe()?;
    let child = sys::fork()?;
    if child == 0 {
        let status = match work() {
            Ok(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                i32::from(write(&to, &bytes) != Ok(bytes.len()))
            }
            Err(error) => {
                sys::print_now(&format!("# {error:#}\n"));
                1
            }
        };
        sys::exit_now(status);
    }
    drop(to);
    let mut values = Values::default();
    let mut bytes = [0; size_of::<Values>()];
    let got = read(&from, &mut bytes)?;
    let (_, end) = sys::wait(child, 0)?;
    ensure!(end == End::Exit(0), "a child process ended with {end:?}");
    ensure!(got == bytes.len(), "a child process gave no result");
    for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(8)) {
        *value = u64::from_le_bytes(bytes.try_into()?);
    }
    Ok(values)
}

/// Waits until the CPU has been almost idle for 10 ms, this many times in a row.
pub fn drain(clock: &Clock, times: usize) {
    const IDLE: u64 = 40_000;
    let mut quiet = 0;
    // Without the counters, this merely waits for a while.
    for _ in 0..200 {
        let mark = clock.mark();
        thread::sleep(Duration::from_millis(10));
        quiet = if clock.since(&mark)[0] < IDLE {
            quiet + 1
        } else {
            0
        };
        if quiet == times {
            break;
        }
    }
}

/// The cost per task of running them one after another, until all deferred work is done.
fn each(
    clock: &Clock,
    count: usize,
    mut one: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Values> {
    one()?;
    drain(clock, 2);
    let mark = clock.mark();
    for _ in 0..count {
        one()?;
    }
    drain(clock, 2);
    let values = clock.since(&mark);
    Ok(values.map(|value| value / count as u64))
}

/// The difference per unit, but not below 0.
#[must_use]
pub fn less(a: &Values, b: &Values) -> Values {
    let mut difference = *a;
    for (a, b) in difference.iter_mut().zip(b) {
        *a = a.saturating_sub(*b);
    }
    difference
}

/// Reports `plain`, `amx`, `use` and `release` for a group. `run` measures the cost per task, with or
/// without a tile, and how much of that is the first use itself.
fn side_by_side(
    clock: &Clock,
    group: &str,
    mut run: impl FnMut(bool) -> anyhow::Result<(Values, Values)>,
) -> anyhow::Result<()> {
    let mut rows = [
        ("plain", vec![]),
        ("amx", vec![]),
        ("use", vec![]),
        ("release", vec![]),
    ];
    // Something else runs occasionally.
    for _ in 0..3 {
        let (plain, nothing) = run(false)?;
        let (amx, first_use) = run(true)?;
        let more = less(&amx, &plain);
        let release = less(&more, &less(&first_use, &nothing));
        for ((_, spans), span) in rows.iter_mut().zip([plain, amx, more, release]) {
            spans.push(span);
        }
    }
    for (row, spans) in &rows {
        report::spans(&format!("{group}.{row}"), clock, spans);
    }
    Ok(())
}

/// `thread.plain`: a thread, from its creation to the last work deferred after its exit.
/// `thread.amx`: the same if it uses a tile. `thread.use`: the difference; `thread.release`: the
/// difference without the first use itself.
///
/// # Errors
///
/// A thread cannot be created.
pub fn threads(clock: &Clock, count: usize) -> anyhow::Result<()> {
    let run = |uses: bool| {
        let mut spans = Vec::with_capacity(count + 1);
        let total = each(clock, count, || {
            let thread =
                thread::scope(|scope| scope.spawn(|| first_use::once_or_not(clock, uses)).join());
            spans.push(thread.ok().context("a thread panicked")?);
            Ok(())
        })?;
        anyhow::Ok((total, typical(clock, &spans)))
    };
    side_by_side(clock, "thread", run)
}

/// The mean of the spans without an interrupt.
#[must_use]
pub fn typical(clock: &Clock, spans: &[Values]) -> Values {
    let quiet: Vec<_> = spans.iter().filter(|span| !clock.disturbed(span)).collect();
    let mut sum = Values::default();
    for span in &quiet {
        for (sum, value) in sum.iter_mut().zip(span.iter()) {
            *sum += value;
        }
    }
    sum.map(|sum| sum / quiet.len().max(1) as u64)
}

/// The program that repeatedly executes itself.
const CHAIN: &str = "xfd_exec_chain";

/// `exec.plain`: a tiny program that asks for permission and executes itself, per exec, with all deferred
/// work. `exec.amx`: the same if it uses a tile first. `exec.use`: the difference; `exec.release`: the
/// difference without the first use itself.
///
/// # Errors
///
/// A process cannot be created, or gets no permission.
pub fn execs(clock: &Clock, count: usize) -> anyhow::Result<()> {
    let chain = std::env::current_exe()?.with_file_name(CHAIN);
    if !chain.exists() {
        for row in ["exec.plain", "exec.amx", "exec.use", "exec.release"] {
            report::skip(row, format!("no {}", chain.display()));
        }
        return Ok(());
    }
    let process = |uses: bool| {
        in_child(|| {
            xcomp::request(Feature::TILE_DATA)?;
            Ok(first_use::once_or_not(clock, uses))
        })
    };
    let typical_of = |uses: bool| {
        let spans: anyhow::Result<Vec<_>> = (0..16).map(|_| process(uses)).collect();
        anyhow::Ok(typical(clock, &spans?))
    };
    let first_use = less(&typical_of(true)?, &typical_of(false)?);
    let run = |uses: bool| {
        let start = |times: usize| {
            let mut command = Command::new(&chain);
            command.arg(times.to_string()).args(uses.then_some("tile"));
            let status = command.status().context(CHAIN)?;
            ensure!(status.success(), "{CHAIN}: {status}");
            anyhow::Ok(())
        };
        let spent = |times: usize| {
            drain(clock, 2);
            let mark = clock.mark();
            start(times)?;
            drain(clock, 2);
            anyhow::Ok(clock.since(&mark))
        };
        start(8)?;
        // What both have in common is not the exec.
        let least = spent(0)?;
        anyhow::Ok(less(&spent(count)?, &least).map(|value| value / count as u64))
    };
    side_by_side(clock, "exec", |uses| {
        Ok((run(uses)?, if uses { first_use } else { Values::default() }))
    })
}

/// `fork.plain`, `fork.amx`: fork, the child's exit, and waiting for it. In the latter, the parent
/// has live tiles.
///
/// # Errors
///
/// A process cannot be created.
pub fn forks(clock: &Clock, count: usize) -> anyhow::Result<()> {
    let run = || {
        let spans = (0..count + 2).map(|_| {
            let mark = clock.mark();
            let child = sys::fork()?;
            if child == 0 {
                sys::exit_now(0);
            }
            sys::wait(child, 0)?;
            Ok(clock.since(&mark))
        });
        let mut spans = spans.collect::<anyhow::Result<Vec<_>>>()?;
        spans.drain(..2);
        anyhow::Ok(spans)
    };
    let plain = thread::scope(|scope| scope.spawn(run).join());
    report::spans(
        "fork.plain",
        clock,
        &plain.ok().context("a thread panicked")??,
    );
    let amx = thread::scope(|scope| {
        let work = || {
            let mut tiles = Tiles::configure();
            tiles.load_all(&tile::content(1));
            run()
        };
        scope.spawn(work).join()
    });
    report::spans("fork.amx", clock, &amx.ok().context("a thread panicked")??);
    Ok(())
}
