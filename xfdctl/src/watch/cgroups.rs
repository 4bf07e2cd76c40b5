// SPDX-License-Identifier: GPL-2.0
//! From a cgroup's ID, which is the inode of its folder, to its path.

use crate::text::plain;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where the unified hierarchy is; the second beside older ones.
const MOUNTS: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];

/// The paths that are known. The kernel uses no ID twice.
pub struct Cgroups {
    mount: Option<PathBuf>,
    /// `None`: looked for in vain.
    known: HashMap<u64, Option<String>>,
}

impl Cgroups {
    /// Knows none yet.
    pub fn new(root: &Path) -> Self {
        let mut mounts = MOUNTS.iter().map(|mount| root.join(mount));
        Self { mount: mounts.find(|mount| mount.join("cgroup.procs").exists()), known: HashMap::new() }
    }

    /// Looks for those of `ids` that are new, in one walk, and forgets all others.
    pub fn learn(&mut self, ids: impl IntoIterator<Item = u64>) {
        let ids: BTreeSet<_> = ids.into_iter().filter(|id| *id != 0).collect();
        self.known.retain(|id, _| ids.contains(id));
        let mut wanted: BTreeSet<_> = ids.into_iter().filter(|id| !self.known.contains_key(id)).collect();
        if let (Some(mount), false) = (&self.mount, wanted.is_empty()) {
            walk(mount, &mut wanted, &mut self.known);
        }
        self.known.extend(wanted.into_iter().map(|id| (id, None)));
    }

    /// The path of a cgroup below the hierarchy's root, with a slash before it; its ID if that is not known; `-` for
    /// no cgroup.
    pub fn path(&self, id: u64) -> String {
        match self.known.get(&id) {
            Some(Some(path)) => path.clone(),
            _ if id == 0 => "-".to_owned(),
            _ => format!("#{id}"),
        }
    }
}

/// Moves those that are found from `wanted` to `known`. What goes meanwhile is not found.
fn walk(mount: &Path, wanted: &mut BTreeSet<u64>, known: &mut HashMap<u64, Option<String>>) {
    let Ok(root) = fs::metadata(mount) else { return };
    let mut found = vec![(root.ino(), mount.to_owned())];
    while let Some((id, folder)) = found.pop() {
        if wanted.remove(&id) {
            known.insert(id, Some(shown(folder.strip_prefix(mount).unwrap_or(&folder))));
        }
        if wanted.is_empty() {
            return;
        }
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let folders =
            entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        found.extend(folders.map(|entry| (entry.ino(), entry.path())));
    }
}

/// As it can be printed.
fn shown(path: &Path) -> String {
    format!("/{}", plain(&path.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(mount: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a.slice/b.service", "a.slice/c\u{1b}[2J", "d"] {
            fs::create_dir_all(root.path().join(mount).join(folder)).unwrap();
        }
        fs::write(root.path().join(mount).join("cgroup.procs"), "").unwrap();
        root
    }

    #[test]
    fn paths_of_ids() {
        for mount in MOUNTS {
            let root = root(mount);
            let id = |folder: &str| fs::metadata(root.path().join(mount).join(folder)).unwrap().ino();
            let ids = [id(""), id("a.slice/b.service"), id("a.slice/c\u{1b}[2J"), 1 << 60, 0];
            let mut cgroups = Cgroups::new(root.path());
            cgroups.learn(ids);
            let paths: Vec<_> = ids.iter().map(|id| cgroups.path(*id)).collect();
            assert_eq!(paths, ["/", "/a.slice/b.service", "/a.slice/c\\u{1b}[2J", "#1152921504606846976", "-"]);
        }
    }

    #[test]
    fn one_that_has_gone_keeps_its_path_while_a_thread_has_it() {
        let root = root(MOUNTS[0]);
        let folder = root.path().join(MOUNTS[0]).join("d");
        let id = fs::metadata(&folder).unwrap().ino();
        let mut cgroups = Cgroups::new(root.path());
        cgroups.learn([id]);
        fs::remove_dir(&folder).unwrap();
        cgroups.learn([id]);
        assert_eq!(cgroups.path(id), "/d");
        cgroups.learn([]);
        cgroups.learn([id]);
        assert_eq!(cgroups.path(id), format!("#{id}"));
    }

    #[test]
    fn without_a_hierarchy() {
        let mut cgroups = Cgroups::new(Path::new("/nowhere"));
        cgroups.learn([7]);
        assert_eq!(cgroups.path(7), "#7");
    }
}
