// SPDX-License-Identifier: GPL-2.0
//! Finds a cgroup's path from its ID, which is its folder's inode number.

use crate::text::plain;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where the unified hierarchy is mounted: on its own, or alongside those of cgroup v1.
const MOUNTS: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];

/// A cache of paths. The kernel never reuses an ID.
pub struct Cgroups {
    mount: Option<PathBuf>,
    /// `None`: no folder was found.
    known: HashMap<u64, Option<String>>,
}

impl Cgroups {
    /// An empty cache.
    pub fn new(root: &Path) -> Self {
        let mut mounts = MOUNTS.iter().map(|mount| root.join(mount));
        Self { mount: mounts.find(|mount| mount.join("cgroup.procs").exists()), known: HashMap::new() }
    }

    /// Looks up the new ones of `ids` in one walk, and forgets all that are not in `ids`.
    pub fn learn(&mut self, ids: impl IntoIterator<Item = u64>) {
        let ids: BTreeSet<_> = ids.into_iter().filter(|id| *id != 0).collect();
        self.known.retain(|id, _| ids.contains(id));
        let mut wanted: BTreeSet<_> = ids.into_iter().filter(|id| !self.known.contains_key(id)).collect();
        if let (Some(mount), false) = (&self.mount, wanted.is_empty()) {
            walk(mount, &mut wanted, &mut self.known);
        }
        self.known.extend(wanted.into_iter().map(|id| (id, None)));
    }

    /// A cgroup's path in the hierarchy, with a leading slash; its ID if the path is unknown; `-` for no cgroup.
    pub fn path(&self, id: u64) -> String {
        match self.known.get(&id) {
            Some(Some(path)) => path.clone(),
            _ if id == 0 => "-".to_owned(),
            _ => format!("#{id}"),
        }
    }
}

/// Moves the IDs that are found from `wanted` to `known`. A cgroup removed in the meantime may not be found.
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

/// The path in printable form.
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
    fn paths_are_found_by_id() {
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
    fn a_removed_cgroup_keeps_its_path_while_a_thread_is_in_it() {
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
