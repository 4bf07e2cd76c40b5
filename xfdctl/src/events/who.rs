// SPDX-License-Identifier: GPL-2.0
//! A thread's process, name and cgroup: from `/proc` while it lives, and afterwards from what the tracer saved when it
//! was last switched out.

use super::event::Who;
use crate::proc;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Looks up threads, and reads the tracer's files at most once.
pub struct Lookup<'a> {
    proc: PathBuf,
    tracing: &'a Path,
    noted: Option<Noted>,
}

#[derive(Default)]
struct Noted {
    names: HashMap<i32, String>,
    processes: HashMap<i32, i32>,
}

impl<'a> Lookup<'a> {
    /// For the `/proc` below `root` and the tracefs at `tracing`.
    pub fn new(root: &Path, tracing: &'a Path) -> Self {
        Self { proc: root.join("proc"), tracing, noted: None }
    }

    /// Fills in what `who` lacks.
    pub fn complete(&mut self, who: &mut Who) {
        // The number may be another process's thread by now.
        let folder = match who.tgid {
            Some(tgid) => self.proc.join(format!("{tgid}/task/{}", who.tid)),
            None => self.proc.join(who.tid.to_string()),
        };
        let text =
            |file: &str| fs::read(folder.join(file)).ok().map(|text| String::from_utf8_lossy(&text).into_owned());
        if who.tgid.is_none() {
            who.tgid = text("status").and_then(|status| tgid(&status));
        }
        if who.comm.is_none() {
            who.comm = text("comm").map(|name| name.strip_suffix('\n').unwrap_or(&name).to_owned());
        }
        who.cgroup = proc::cgroup(&folder);
        if who.tgid.is_none() || who.comm.is_none() {
            let tracing = self.tracing;
            let noted = self.noted.get_or_insert_with(|| Noted::read(tracing));
            who.tgid = who.tgid.or_else(|| noted.processes.get(&who.tid).copied());
            who.comm = who.comm.take().or_else(|| noted.names.get(&who.tid).cloned());
        }
    }
}

impl Noted {
    fn read(tracing: &Path) -> Self {
        let text = |file: &str| fs::read(tracing.join(file)).unwrap_or_default();
        let pairs = |text: &[u8]| -> Vec<(i32, String)> {
            let text = String::from_utf8_lossy(text);
            let pair = |line: &str| line.split_once(' ').and_then(|(id, of)| Some((id.parse().ok()?, of.to_owned())));
            text.lines().filter_map(pair).collect()
        };
        let processes = pairs(&text("saved_tgids"));
        Self {
            names: pairs(&text("saved_cmdlines")).into_iter().collect(),
            processes: processes.into_iter().filter_map(|(tid, of)| Some((tid, of.trim().parse().ok()?))).collect(),
        }
    }
}

fn tgid(status: &str) -> Option<i32> {
    // The name precedes it, and the kernel escapes newlines there.
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn ended_threads_are_looked_up_in_the_tracers_files() {
        let root = fixture::root(&[]);
        let tracing = root.path().join("sys/kernel/tracing");
        fixture::thread(root.path(), 5, 4, "a] b", "/user/x");
        fs::write(tracing.join("saved_cmdlines"), "5 old\n6 dead one\nx y\n").unwrap();
        fs::write(tracing.join("saved_tgids"), "6 3\n7 x\n").unwrap();
        let mut lookup = Lookup::new(root.path(), &tracing);
        let mut who = |tid| {
            let mut who = Who { tid, ..Who::default() };
            lookup.complete(&mut who);
            (who.tgid, who.comm, who.cgroup)
        };
        assert_eq!(who(5), (Some(4), Some("a] b".into()), Some("/user/x".into())));
        assert_eq!(who(6), (Some(3), Some("dead one".into()), None));
        assert_eq!(who(7), (None, None, None));
    }

    #[test]
    fn another_processs_thread_is_not_looked_up() {
        let root = fixture::root(&[]);
        fixture::thread(root.path(), 5, 4, "amx", "/user/x");
        let tracing = root.path().join("sys/kernel/tracing");
        let mut lookup = Lookup::new(root.path(), &tracing);
        let mut cgroup = |tgid| {
            let mut who = Who { tid: 5, tgid: Some(tgid), comm: Some("amx".into()), cgroup: None };
            lookup.complete(&mut who);
            who.cgroup
        };
        assert_eq!((cgroup(4), cgroup(3)), (Some("/user/x".into()), None));
    }
}
