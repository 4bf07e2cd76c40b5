// SPDX-License-Identifier: GPL-2.0
//! Files in `/proc` that several commands read.

use std::fs;
use std::path::Path;

/// The release of the kernel whose `proc` is in `root`, or "unknown".
pub fn kernel_release(root: &Path) -> String {
    let release = fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
    Some(release.trim()).filter(|release| !release.is_empty()).unwrap_or("unknown").to_owned()
}

/// The path of a task's cgroup in the unified hierarchy, with a leading slash. `task` is its folder in `/proc`.
pub fn cgroup(task: &Path) -> Option<String> {
    let cgroups = fs::read(task.join("cgroup")).ok()?;
    let cgroups = String::from_utf8_lossy(&cgroups);
    cgroups.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_one_word() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(kernel_release(root.path()), "unknown");
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::write(root.path().join("proc/sys/kernel/osrelease"), "7.3.4\n").unwrap();
        assert_eq!(kernel_release(root.path()), "7.3.4");
    }

    #[test]
    fn only_the_unified_hierarchy_counts() {
        let task = tempfile::tempdir().unwrap();
        assert_eq!(cgroup(task.path()), None);
        fs::write(task.path().join("cgroup"), b"1:cpu:/old\n0::/a/b\xff:c\n").unwrap();
        assert_eq!(cgroup(task.path()).as_deref(), Some("/a/b\u{fffd}:c"));
        fs::write(task.path().join("cgroup"), "1:cpu:/old\n").unwrap();
        assert_eq!(cgroup(task.path()), None);
    }
}
