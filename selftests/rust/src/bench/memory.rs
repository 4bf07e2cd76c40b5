// SPDX-License-Identifier: GPL-2.0
//! The memory that the kernel keeps for threads that have used tiles: pages in all vmalloc areas, and all
//! pages that are no longer free.

use super::report;
use crate::tile::Tiles;
use anyhow::{anyhow, Context};
use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const RECLAIM: &str = "/sys/module/xfd/parameters/reclaim_ms";
const PAGE: u64 = 4096;

/// Bytes in the pages of vmalloc areas, and in free pages.
#[derive(Clone, Copy)]
struct Memory {
    vmalloc: u64,
    free: u64,
}

impl Memory {
    fn now() -> anyhow::Result<Self> {
        let areas = fs::read_to_string("/proc/vmallocinfo")
            .context("/proc/vmallocinfo (only root may read it)")?;
        let zones = fs::read_to_string("/proc/zoneinfo").context("/proc/zoneinfo")?;
        Ok(Memory {
            vmalloc: pages(&areas) * PAGE,
            free: free(&zones) * PAGE,
        })
    }
}

/// Pages in all areas that have any.
fn pages(vmallocinfo: &str) -> u64 {
    let words = vmallocinfo.split_whitespace();
    words
        .filter_map(|word| word.strip_prefix("pages=")?.parse::<u64>().ok())
        .sum()
}

/// Free pages in all zones, including those in per-CPU lists, which MemFree omits.
fn free(zoneinfo: &str) -> u64 {
    let number = |line: &str| {
        let line = line.trim();
        let rest = line
            .strip_prefix("pages free")
            .or(line.strip_prefix("count:"));
        rest?.trim().parse::<u64>().ok()
    };
    zoneinfo.lines().filter_map(number).sum()
}

fn report(row: &str, before: Memory) -> anyhow::Result<()> {
    let now = Memory::now()?;
    report::values(
        row,
        "vmalloc_bytes",
        &[now.vmalloc.saturating_sub(before.vmalloc)],
    );
    let taken = before.free.saturating_sub(now.free);
    report::values(row, "taken_bytes", &[taken]);
    Ok(())
}

/// `memory.live`, `memory.idle`, `memory.reclaimed`: for `count` waiting threads, first with live
/// tiles, then after TILERELEASE, then after the module has had time to reclaim the memory.
///
/// # Errors
///
/// A thread cannot be created; /proc/vmallocinfo cannot be read.
pub fn of_threads(count: usize) -> anyhow::Result<()> {
    if let Err(error) = Memory::now() {
        for row in ["memory.live", "memory.idle", "memory.reclaimed"] {
            report::skip(row, format!("{error:#}"));
        }
        return Ok(());
    }
    let step = &Barrier::new(count + 1);
    thread::scope(|scope| {
        for _ in 0..count {
            let work = || {
                step.wait();
                step.wait();
                let mut tiles = Tiles::configure();
                tiles.zero::<0>();
                step.wait();
                step.wait();
                drop(tiles);
                step.wait();
                step.wait();
            };
            thread::Builder::new()
                .stack_size(64 << 10)
                .spawn_scoped(scope, work)
                .map_err(|e| anyhow!("thread: {e}"))?;
        }
        step.wait();
        let before = Memory::now();
        step.wait();
        step.wait();
        let live = before
            .as_ref()
            .ok()
            .map(|before| report("memory.live", *before));
        step.wait();
        step.wait();
        let idle = before
            .as_ref()
            .ok()
            .map(|before| report("memory.idle", *before));
        let reclaimed = before.as_ref().ok().map(|before| reclaimed(*before));
        step.wait();
        before?;
        [live, idle, reclaimed].into_iter().flatten().collect()
    })
}

/// Makes the module run passes often, and waits until it stops reclaiming.
fn reclaimed(before: Memory) -> anyhow::Result<()> {
    let row = "memory.reclaimed";
    if report::path() == "stock" {
        return report(row, before);
    }
    if !Path::new(RECLAIM).exists() {
        report::skip(row, format!("the module has no {RECLAIM}"));
        return Ok(());
    }
    let former = fs::read_to_string(RECLAIM).context(RECLAIM)?;
    fs::write(RECLAIM, "20").context(RECLAIM)?;
    let begin = Instant::now();
    let mut last = u64::MAX;
    let mut changed = begin;
    while changed.elapsed() < Duration::from_millis(500)
        && begin.elapsed() < Duration::from_secs(20)
    {
        let now = Memory::now()?.vmalloc;
        if now < last {
            (last, changed) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let result = report(row, before);
    fs::write(RECLAIM, former.trim()).context(RECLAIM)?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_all_areas_are_counted() {
        let text = "0xff-0xff   16384 n_tty_open+0x1f/0x80 pages=3 vmalloc\n\
                    0xff-0xff 2097152 acpi_os_map_iomem phys=0x80000000 ioremap\n\
                    0xff-0xff   20480 dup_task_struct+0x5/0x8 pages=4 vmalloc N0=4\n";
        assert_eq!(pages(text), 7);
    }

    #[test]
    fn free_pages_are_those_at_hand_as_well() {
        let text = "Node 0, zone   DMA32\n  pages free     1000\n        boost    0\n  pagesets\n\
                    \x20   cpu: 0\n              count:    7\n              high: 900\n";
        assert_eq!(free(text), 1007);
    }
}
