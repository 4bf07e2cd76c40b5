// SPDX-License-Identifier: GPL-2.0
//! The kernel memory of allocated fpstates: tasks' enlarged ones, and vCPUs'.

use anyhow::{ensure, Context};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Total size in bytes of the /proc/vmallocinfo areas allocated for fpstates, including guard
/// pages, without those the module keeps for the next first use.
///
/// # Errors
///
/// The caller is not root.
pub fn bytes() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/vmallocinfo").context("/proc/vmallocinfo")?;
    let mut sum = 0;
    for line in text.lines() {
        // fpu_alloc_guest_fpstate() and xfd_enable_feature() in the C code, and everything that the module allocates;
        // once the module is gone, its functions have no names.
        let nameless = || {
            line.split_whitespace()
                .nth(2)
                .is_some_and(|caller| caller.starts_with("0x"))
        };
        let named = [
            "fpstate",
            "xfd_enable_feature",
            "[xfd]",
            "Area8allocate",
            "xfd_zalloc_nofail",
        ];
        if named.iter().any(|caller| line.contains(caller)) || nameless() {
            let size = line
                .split_whitespace()
                .nth(1)
                .and_then(|size| size.parse::<u64>().ok());
            sum += size.with_context(|| format!("size in {line:?}"))?;
        }
    }
    Ok(sum - pooled()?)
}

/// Waits until no more than `before` are left: the last ones are freed after an RCU grace period.
///
/// # Errors
///
/// There are still more after two seconds.
pub fn wait_until_back_to(before: u64) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let now = bytes()?;
        if now <= before {
            return Ok(());
        }
        ensure!(
            begin.elapsed() < Duration::from_secs(2),
            "bytes of buffers: {now}, at the start {before}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes in the buffers that the module keeps: three pages each, and a guard page.
///
/// # Errors
///
/// The counter is not a number.
pub fn pooled() -> anyhow::Result<u64> {
    match fs::read_to_string("/sys/kernel/debug/xfd/pooled") {
        Ok(text) => Ok(text.trim().parse::<u64>()? * 4 * 4096),
        Err(_) => Ok(0),
    }
}
