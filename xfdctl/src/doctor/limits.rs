// SPDX-License-Identifier: GPL-2.0
//! The memory limits of this process and of programs that it starts: those of its cgroup and the cgroups above it, and
//! that of its address space. The kernel's buffers count against neither, but a program's data does.

use super::finding::Finding;
use crate::proc;
use nix::sys::resource::{getrlimit, Resource, RLIM_INFINITY};
use std::fs;
use std::path::Path;

const ABOUT: &str = "limits";
/// Less than this is reported: no program that uses tiles can run in it.
const LITTLE: u64 = 16 << 20;

/// Checks the limits.
pub fn check() -> Vec<Finding> {
    let address_space = getrlimit(Resource::RLIMIT_AS).map_or(RLIM_INFINITY, |(soft, _)| soft);
    let mut findings = Vec::from_iter(of_cgroup(Path::new("/")));
    findings.extend(of_address_space(address_space));
    if findings.is_empty() {
        findings.push(Finding::ok(
            ABOUT,
            "neither the memory of the cgroup (memory.max) nor the address space (ulimit -v) is short",
        ));
    }
    findings
}

/// Reports the cgroup with the least memory left, if that is little.
fn of_cgroup(root: &Path) -> Option<Finding> {
    let own = proc::cgroup(&root.join("proc/self"))?;
    let mounted = root.join("sys/fs/cgroup");
    let number = |folder: &Path, file: &str| -> Option<u64> {
        fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
    };
    let of = |folder: &Path| {
        let max = number(folder, "memory.max")?;
        let used = number(folder, "memory.current")?.saturating_sub(page_cache(folder));
        let left = max.saturating_sub(used);
        let name = folder.strip_prefix(&mounted).unwrap_or(folder);
        Some((left, max, name.display().to_string()))
    };
    let path = mounted.join(own.trim_start_matches('/'));
    let tightest = path.ancestors().take_while(|folder| folder.starts_with(&mounted)).filter_map(of).min()?;
    let (left, max, name) = tightest;
    (left < LITTLE).then(|| {
        Finding::wrong(
            ABOUT,
            format!(
                "the cgroup /{name} has {} KiB left of its {} KiB; after that the kernel kills a process in it",
                left >> 10,
                max >> 10
            ),
            "raise its memory.max (systemd: MemoryMax=; containers: their memory limit)",
        )
    })
}

/// The page cache charged to the cgroup: the kernel drops it before it kills a process.
fn page_cache(folder: &Path) -> u64 {
    let text = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let files = lines.filter(|(name, _)| ["active_file", "inactive_file"].contains(name));
    files.filter_map(|(_, bytes)| bytes.parse::<u64>().ok()).fold(0, u64::saturating_add)
}

/// `bytes` is `RLIMIT_AS`.
fn of_address_space(bytes: u64) -> Option<Finding> {
    (bytes < LITTLE).then(|| {
        Finding::wrong(
            ABOUT,
            format!(
                "the address space is limited to {} KiB (RLIMIT_AS): beyond that a process gets no memory and no \
                 threads",
                bytes >> 10
            ),
            "raise it (ulimit -v unlimited; systemd: LimitAS=)",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroup(files: &[(&str, &str)]) -> Option<Finding> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files.iter().chain(&[("proc/self/cgroup", "1:cpu:/x\n0::/a/b\n")]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        of_cgroup(root.path())
    }

    #[test]
    fn the_tightest_cgroup_counts() {
        let outer = [("sys/fs/cgroup/a/memory.max", "20000000\n"), ("sys/fs/cgroup/a/memory.current", "19000000\n")];
        let inner = |max| [("sys/fs/cgroup/a/b/memory.max", max), ("sys/fs/cgroup/a/b/memory.current", "10\n")];
        let what = cgroup(&[outer.as_slice(), &inner("max\n")].concat()).unwrap().what;
        assert!(what.contains("/a has 976 KiB left of its 19531 KiB"), "{what}");
        assert!(cgroup(&inner("100\n")).unwrap().what.contains("/a/b has"));
        assert!(
            cgroup(&inner("max\n")).is_none() && cgroup(&inner("900000000\n")).is_none() && cgroup(&[]).is_none()
        );
    }

    #[test]
    fn page_cache_does_not_count() {
        let of = |stat| {
            cgroup(&[
                ("sys/fs/cgroup/a/memory.max", "100000000\n"),
                ("sys/fs/cgroup/a/memory.current", "99999999\n"),
                ("sys/fs/cgroup/a/memory.stat", stat),
            ])
        };
        assert!(of("anon 9999999\ninactive_file 80000000\nactive_file 10000000\n").is_none());
        assert!(of("anon 99000000\ninactive_file 900000\nactive_file 0\nfile what\n").is_some());
        assert!(of("").is_some());
    }

    #[test]
    fn address_space() {
        assert!(of_address_space(1 << 20).unwrap().what.contains("1024 KiB"));
        assert!(of_address_space(RLIM_INFINITY).is_none() && of_address_space(1 << 30).is_none());
    }
}
