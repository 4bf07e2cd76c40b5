// SPDX-License-Identifier: GPL-2.0
//! The CPUs that a thread runs on.

use anyhow::Context;
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};

/// The CPUs that the calling thread may run on, in order.
///
/// # Errors
///
/// Errors from `sched_getaffinity`.
pub fn allowed() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("sched_getaffinity")?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// Restricts the calling thread to `cpu`; it runs there when this returns.
///
/// # Errors
///
/// EINVAL if there is no such CPU.
pub fn pin_to(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("moving to CPU {cpu}"))?;
    let here = rustix::thread::sched_getcpu();
    anyhow::ensure!(here == cpu, "on CPU {here} after moving to {cpu}");
    Ok(())
}

/// Yields the CPU to another thread waiting for it.
pub fn give_way() {
    rustix::thread::sched_yield();
}

/// The calling thread's context switches, voluntary and involuntary.
///
/// # Errors
///
/// /proc is not mounted.
pub fn switches() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").context("/proc")?;
    let counts = status
        .lines()
        .filter_map(|line| line.split_once("ctxt_switches:"))
        .map(|(_, count)| count.trim().parse::<u64>());
    counts
        .sum::<Result<u64, _>>()
        .context("context switches in /proc/thread-self/status")
}
