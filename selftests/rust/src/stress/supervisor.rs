// SPDX-License-Identifier: GPL-2.0
//! The run's first process: starts the others, and judges how they end.

use super::shared::{Shared, MAX_PROCESSES};
use super::{child, failure, outside, process, Place};
use crate::sys::{self, End};
use anyhow::{ensure, Context};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Starts a run's processes, judges how each ended, and starts the next in its place.
pub struct Supervisor {
    shared: &'static Shared,
    fd: i32,
    /// Only this process: PROCESS.GENERATION.
    only: Option<String>,
    /// Maps PIDs to the processes they were started as; `None` for tracer and hotplug.
    processes: HashMap<i32, Option<Place>>,
}

impl Supervisor {
    /// For a run whose counts are in `shared`, the memory behind descriptor `fd`; `only` is one of its
    /// processes, as a failure names it.
    #[must_use]
    pub fn new(shared: &'static Shared, fd: i32, only: Option<String>) -> Self {
        Supervisor {
            shared,
            fd,
            only,
            processes: HashMap::new(),
        }
    }

    /// Starts all processes.
    ///
    /// # Errors
    ///
    /// `only` does not name a process, or one cannot be started.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        if let Some(only) = &self.only {
            let (slot, generation) = only.split_once('.').context("--only PROCESS.GENERATION")?;
            return self.start(slot.parse()?, generation.parse()?);
        }
        self.start_outside(outside::trace)?;
        if self.shared.hotplug.load(Relaxed) != 0 {
            self.start_outside(outside::hotplug)?;
        }
        (0..self.shared.processes.load(Relaxed)).try_for_each(|slot| self.start(slot, 0))
    }

    fn start_outside(&mut self, work: fn(&Shared)) -> anyhow::Result<()> {
        let pid = sys::fork()?;
        if pid == 0 {
            work(self.shared);
            sys::exit_now(0);
        }
        self.processes.insert(pid, None);
        Ok(())
    }

    fn start(&mut self, slot: u32, generation: u32) -> anyhow::Result<()> {
        ensure!((slot as usize) < MAX_PROCESSES, "no process {slot}");
        let place = Place {
            seed: self.shared.seed.load(Relaxed),
            slot,
            generation,
            thread: 0,
        };
        let pid = sys::fork()?;
        if pid == 0 {
            process::run(self.shared, self.fd, place, false);
        }
        self.processes.insert(pid, Some(place));
        Ok(())
    }

    /// Judges each end; starts the next in its place, until the run is over.
    ///
    /// # Errors
    ///
    /// Errors from wait.
    pub fn until_all_have_ended(&mut self) -> anyhow::Result<()> {
        let (mut said, start) = (0, Instant::now());
        loop {
            let (pid, end) = match sys::wait(-1, 0) {
                Ok(ended) => ended,
                Err(e) if e.raw_os_error() == Some(libc::ECHILD) => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let over = self.shared.over();
            match self.processes.remove(&pid) {
                Some(Some(place)) => {
                    let (expected, last) =
                        process::expected_end(place, self.shared.threads.load(Relaxed));
                    // At the end of the run, threads stop before their plan is complete.
                    if end != expected && !(over && end == End::Exit(0)) {
                        let what = format_args!("ended by {end:?}, must be {expected:?}");
                        failure(
                            self.shared,
                            Place {
                                generation: last,
                                ..place
                            },
                            what,
                        );
                    } else if !over && self.only.is_none() {
                        self.start(place.slot, last + 1)?;
                    }
                }
                Some(None) if end == End::Exit(0) => {}
                None if child::is_an_end(end) => {}
                _ => {
                    let place = Place {
                        seed: self.shared.seed.load(Relaxed),
                        slot: u32::MAX,
                        generation: 0,
                        thread: 0,
                    };
                    failure(self.shared, place, format_args!("child {pid}: {end:?}"));
                }
            }
            let total = self.shared.total();
            if total >= said + 2000 {
                said = total;
                println!(
                    "# {total} operations, {} ms, {}",
                    start.elapsed().as_millis(),
                    load()
                );
            }
        }
    }
}

/// The number of tasks and the free memory, which reveal slow leaks.
fn load() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (load, memory) = (read("/proc/loadavg"), read("/proc/meminfo"));
    let tasks = load.split(&[' ', '/']).nth(4).unwrap_or("?");
    let free = memory
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))
        .unwrap_or("?");
    format!("{tasks} tasks, {} free", free.trim())
}
