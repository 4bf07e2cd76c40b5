// SPDX-License-Identifier: GPL-2.0
//! A thread's first tile instruction, measured from just before TILEZERO to just after it.

use super::clock::{Clock, Values};
use super::report;
use super::tasks::in_child;
use crate::cpus;
use crate::rows;
use crate::tile::Tiles;
use anyhow::{anyhow, Context};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Barrier;
use std::thread;
use xcomp::Feature;

/// The calling thread's first use; it must not have had one.
#[must_use]
pub fn once(clock: &Clock) -> Values {
    once_or_not(clock, true)
}

/// The same or, without the tile instruction, just the overhead.
#[must_use]
pub fn once_or_not(clock: &Clock, uses: bool) -> Values {
    let mut tiles = Tiles::configure();
    // Faults in the memory that the measurement itself touches.
    let _ = clock.since(&clock.mark());
    let mark = clock.mark();
    if uses {
        tiles.zero::<0>();
    }
    clock.since(&mark)
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))
}

/// Measures in this many threads, each gone before the next one starts.
///
/// # Errors
///
/// A thread cannot be created.
pub fn one_by_one(clock: &Clock, threads: usize) -> anyhow::Result<Vec<Values>> {
    (0..threads)
        .map(|_| thread::scope(|scope| joined(scope.spawn(|| once(clock)))))
        .collect()
}

/// `first_use.process`: the first thread in a process that has just asked for permission.
///
/// # Errors
///
/// A process cannot be created, or gets no permission.
pub fn process(clock: &Clock, processes: usize) -> anyhow::Result<()> {
    let spans: anyhow::Result<Vec<_>> = (0..processes).map(|_| in_process(clock)).collect();
    report::spans("first_use.process", clock, &spans?);
    Ok(())
}

/// `first_use.cold`: the same after the kernel has dropped its caches.
///
/// # Errors
///
/// A process cannot be created, or gets no permission.
pub fn cold(clock: &Clock, processes: usize) -> anyhow::Result<()> {
    // 2: only the shrinkers (Documentation/admin-guide/sysctl/vm.rst).
    let drop_all = || fs::write("/proc/sys/vm/drop_caches", "2");
    if let Err(error) = drop_all() {
        report::skip("first_use.cold", format!("drop_caches: {error}"));
        return Ok(());
    }
    let one = |_| {
        drop_all()?;
        in_process(clock)
    };
    let spans: anyhow::Result<Vec<_>> = (0..processes).map(one).collect();
    report::spans("first_use.cold", clock, &spans?);
    Ok(())
}

fn in_process(clock: &Clock) -> anyhow::Result<Values> {
    in_child(|| {
        xcomp::request(Feature::TILE_DATA)?;
        Ok(once(clock))
    })
}

/// `first_use.warm`: further threads of a process, one after another.
///
/// # Errors
///
/// A thread cannot be created.
pub fn warm(clock: &Clock, threads: usize) -> anyhow::Result<()> {
    one_by_one(clock, 4)?;
    report::spans("first_use.warm", clock, &one_by_one(clock, threads)?);
    Ok(())
}

/// `first_use.unread` and `first_use.read`: like `first_use.warm`, without and with a process that keeps reading
/// /proc/xfd/tasks on another CPU.
///
/// # Errors
///
/// A thread cannot be created, or cannot be moved to its CPU.
pub fn beside_a_reader(clock: &Clock, threads: usize) -> anyhow::Result<()> {
    let cpus = cpus::allowed()?;
    let &[here, there, ..] = cpus.as_slice() else {
        report::skip("first_use.read", "one CPU");
        return Ok(());
    };
    thread::scope(|scope| {
        joined(scope.spawn(|| -> anyhow::Result<()> {
            cpus::pin_to(here)?;
            one_by_one(clock, 4)?;
            report::spans("first_use.unread", clock, &one_by_one(clock, threads)?);
            if !Path::new(rows::PATH).exists() {
                report::skip("first_use.read", format!("no {}", rows::PATH));
                return Ok(());
            }
            let (readings, ends) = (&AtomicUsize::new(0), &AtomicBool::new(false));
            let spans = thread::scope(|scope| -> anyhow::Result<_> {
                let reader = scope.spawn(move || -> anyhow::Result<()> {
                    cpus::pin_to(there)?;
                    while !ends.load(Ordering::Acquire) {
                        fs::read(rows::PATH)?;
                        readings.fetch_add(1, Ordering::AcqRel);
                    }
                    Ok(())
                });
                while readings.load(Ordering::Acquire) == 0 && !reader.is_finished() {
                    std::hint::spin_loop();
                }
                let spans = one_by_one(clock, threads);
                ends.store(true, Ordering::Release);
                joined(reader)??;
                spans
            })?;
            report::spans("first_use.read", clock, &spans);
            Ok(())
        }))?
    })
}

/// `first_use.pool64`: 64 threads that all hold tiles before the first one exits; created and
/// joined `times` times.
///
/// # Errors
///
/// A thread cannot be created.
pub fn pool(clock: &Clock, times: usize) -> anyhow::Result<()> {
    const THREADS: usize = 64;
    let mut spans = Vec::new();
    for _ in 0..times {
        let all_have = &Barrier::new(THREADS);
        let use_and_wait = || {
            let values = once(clock);
            all_have.wait();
            values
        };
        spans.extend(thread::scope(|scope| -> anyhow::Result<Vec<_>> {
            let running: Vec<_> = (0..THREADS).map(|_| scope.spawn(use_and_wait)).collect();
            running.into_iter().map(joined).collect()
        })?);
    }
    report::spans("first_use.pool64", clock, &spans);
    Ok(())
}

/// `first_use.at_once.N`: N threads, each alone on its CPU, starting together; `times` times.
///
/// # Errors
///
/// A thread cannot be created, or cannot be moved to its CPU.
pub fn at_once(clock: &Clock, threads: usize, times: usize) -> anyhow::Result<()> {
    let cpus = cpus::allowed()?;
    let row = format!("first_use.at_once.{threads}");
    if cpus.len() < threads {
        report::skip(&row, format!("{} CPUs", cpus.len()));
        return Ok(());
    }
    let mut spans = Vec::new();
    for _ in 0..times {
        let here = &AtomicUsize::new(0);
        let on = |cpu: usize| -> anyhow::Result<Values> {
            cpus::pin_to(cpu)?;
            let mut tiles = Tiles::configure();
            let _ = clock.since(&clock.mark());
            here.fetch_add(1, Ordering::AcqRel);
            while here.load(Ordering::Acquire) < threads {
                std::hint::spin_loop();
            }
            let mark = clock.mark();
            tiles.zero::<0>();
            Ok(clock.since(&mark))
        };
        let on = &on;
        spans.extend(thread::scope(|scope| -> anyhow::Result<Vec<_>> {
            let start = |&cpu: &usize| scope.spawn(move || on(cpu));
            let running: Vec<_> = cpus.iter().take(threads).map(start).collect();
            let spans = running.into_iter().map(|thread| joined(thread)?);
            spans.collect::<anyhow::Result<_>>().context(row.clone())
        })?);
    }
    report::spans(&row, clock, &spans);
    Ok(())
}
