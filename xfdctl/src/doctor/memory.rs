// SPDX-License-Identifier: GPL-2.0
//! Whether there is memory for the buffers: 12 KiB for each thread that uses tiles, which the kernel takes at the
//! first tile instruction.

use super::finding::Finding;
use std::fs;
use std::path::Path;

const ABOUT: &str = "memory";
/// Bytes of a buffer: 10,752 of registers and what is beside them, in whole pages.
const BUFFER: u64 = 12 << 10;
/// Fewer threads than this are worth a word.
const FEW: u64 = 1000;

/// All about it.
pub fn look() -> Vec<Finding> {
    look_below(Path::new("/"))
}

fn look_below(root: &Path) -> Vec<Finding> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let available = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?;
        Some(kib.trim().parse::<u64>().ok()? << 10)
    });
    let mut findings = Vec::new();
    findings.extend(available.map(|bytes| of("this machine", bytes, "free memory")));
    findings.extend(left_in_cgroups(root).map(|(group, bytes)| {
        of(&format!("the cgroup {group}"), bytes, "raise its memory.max (systemd: MemoryMax=), or run fewer threads")
    }));
    findings
}

fn of(whose: &str, bytes: u64, cure: &str) -> Finding {
    let threads = bytes / BUFFER;
    let what = format!("{whose} has {} MiB left: {threads} threads with tiles", bytes >> 20);
    if threads < FEW {
        Finding::wrong(ABOUT, what, cure)
    } else {
        Finding::ok(ABOUT, what)
    }
}

/// The tightest of this process's cgroups (version 2) that have a limit, and the bytes left in it.
fn left_in_cgroups(root: &Path) -> Option<(String, u64)> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let number = |group: &Path, file: &str| {
        let text = fs::read_to_string(root.join("sys/fs/cgroup").join(group).join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let left = |group: &Path| {
        let bytes = number(group, "memory.max")?.saturating_sub(number(group, "memory.current")?);
        Some((format!("/{}", group.display()), bytes))
    };
    Path::new(own).ancestors().filter_map(left).min_by_key(|(_, bytes)| *bytes)
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn the_tightest_cgroup_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/meminfo", "MemTotal: 99999999 kB\nMemAvailable:   16777216 kB\n");
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/memory.max", "20971520\n");
        write("sys/fs/cgroup/a/memory.current", "19922944\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        write("sys/fs/cgroup/a/b/memory.current", "1\n");
        let findings = look_below(root.path());
        assert_eq!(findings.iter().map(|f| f.state).collect::<Vec<_>>(), [State::Ok, State::Wrong]);
        assert_eq!(findings[0].what, "this machine has 16384 MiB left: 1398101 threads with tiles");
        assert_eq!(findings[1].what, "the cgroup /a has 1 MiB left: 85 threads with tiles");
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        assert_eq!(look_below(tempfile::tempdir().unwrap().path()), []);
    }
}
