// SPDX-License-Identifier: GPL-2.0
//! Whether there is memory for buffers. The kernel allocates 12 KiB of vmalloc space for each thread at its first tile
//! instruction, and charges it to no cgroup.

use super::finding::Finding;
use std::fs;
use std::path::Path;

const ABOUT: &str = "memory";
/// The size of a buffer: 10,752 bytes of registers and some metadata, rounded up to whole pages.
const BUFFER: u64 = 12 << 10;
/// Memory for fewer threads than this is reported.
const FEW: u64 = 1000;

/// Checks the memory.
pub fn check() -> Vec<Finding> {
    let meminfo = fs::read_to_string(Path::new("/proc/meminfo")).unwrap_or_default();
    vec![judge(&meminfo)]
}

fn judge(meminfo: &str) -> Finding {
    let available = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?;
        Some(kib.trim().parse::<u64>().ok()? << 10)
    });
    let Some(bytes) = available else {
        return Finding::unknown(ABOUT, "/proc/meminfo does not say how much is available");
    };
    let threads = bytes / BUFFER;
    let what = format!("{} MiB are available: enough for {threads} threads with tiles, at 12 KiB", bytes >> 20);
    if threads < FEW {
        Finding::wrong(ABOUT, what, "free or add memory: a thread that gets none dies of SIGSEGV at its first tile")
    } else {
        Finding::ok(ABOUT, what)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn available_memory_counts() {
        let of = |kib: u64| judge(&format!("MemTotal: 99999999 kB\nMemAvailable:   {kib} kB\n"));
        assert_eq!(
            of(16 << 20),
            Finding::ok(ABOUT, "16384 MiB are available: enough for 1398101 threads with tiles, at 12 KiB")
        );
        assert_eq!(of(1024).state, State::Wrong);
        assert_eq!(judge("").state, State::Unknown);
    }
}
