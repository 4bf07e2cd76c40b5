// SPDX-License-Identifier: GPL-2.0
//! Threads, or their totals by process or cgroup.

use super::super::cgroups::Cgroups;
use super::super::snapshot::States;
use crate::module::tasks::{State, Thread};
use clap::ValueEnum;
use serde_json::{json, Value};
use std::collections::BTreeMap;

/// What a line of the table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// A thread
    Thread,
    /// A process
    Process,
    /// A cgroup
    Cgroup,
}

/// A line of the table: one or more threads.
#[derive(Debug)]
pub struct Group {
    /// The thread's process, or that of any one of the threads.
    pub pid: u32,
    /// The thread, or any one of them.
    pub tid: u32,
    /// The name of the thread, or of the process's main thread if it is included.
    pub comm: String,
    /// The ID of the cgroup.
    pub cgroup: u64,
    /// The path of the cgroup.
    pub path: String,
    /// The number of threads in each state.
    pub states: States,
    /// The memory of their buffers.
    pub bytes: u64,
    /// The memory of their vCPUs' buffers.
    pub guest_bytes: u64,
    /// Milliseconds since the latest one was put on a CPU.
    pub since_ms: u64,
}

/// Groups `threads` into lines, ordered by ID.
pub fn groups(threads: &[Thread], by: By, cgroups: &Cgroups) -> Vec<Group> {
    let mut groups: BTreeMap<u64, Group> = BTreeMap::new();
    for thread in threads {
        let id = match by {
            By::Thread => u64::from(thread.tid),
            By::Process => u64::from(thread.pid),
            By::Cgroup => thread.cgroup,
        };
        let group = groups.entry(id).or_insert_with(|| Group::of(thread, cgroups));
        group.add(thread);
    }
    groups.into_values().collect()
}

impl Group {
    fn of(thread: &Thread, cgroups: &Cgroups) -> Self {
        Self {
            pid: thread.pid,
            tid: thread.tid,
            comm: thread.comm.clone(),
            cgroup: thread.cgroup,
            path: cgroups.path(thread.cgroup),
            states: States::new(),
            bytes: 0,
            guest_bytes: 0,
            since_ms: thread.since_ms,
        }
    }

    fn add(&mut self, thread: &Thread) {
        if thread.tid == thread.pid {
            self.comm.clone_from(&thread.comm);
        }
        *self.states.entry(thread.state.clone()).or_default() += 1;
        self.bytes = self.bytes.saturating_add(thread.bytes);
        self.guest_bytes = self.guest_bytes.saturating_add(thread.guest_bytes);
        self.since_ms = self.since_ms.min(thread.since_ms);
    }

    /// The number of threads.
    pub fn threads(&self) -> u64 {
        self.states.values().sum()
    }

    /// The number of threads in this state.
    pub fn count(&self, state: &State) -> u64 {
        self.states.get(state).copied().unwrap_or(0)
    }

    /// The totals of a process or cgroup as JSON.
    pub fn json(&self, by: By) -> Value {
        let states: serde_json::Map<_, _> =
            self.states.iter().map(|(state, count)| (state.to_string(), (*count).into())).collect();
        let mut object = json!({
            "threads": self.threads(),
            "states": states,
            "bytes": self.bytes,
            "guest_bytes": self.guest_bytes,
            "since_ms": self.since_ms,
        });
        if by == By::Cgroup {
            object["cgroup"] = self.cgroup.into();
            object["cgroup_path"] = self.path.as_str().into();
        } else {
            object["pid"] = self.pid.into();
            object["comm"] = self.comm.as_str().into();
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::tasks;
    use proptest::prelude::*;
    use std::path::Path;

    const THREADS: &str = "pid tid state permitted guest_permitted bytes guest_bytes since_ms cgroup comm\n\
                           7 8 live 0 0 12288 0 9 5 worker\n7 7 idle 0 0 12288 0 30 5 main\n\
                           9 9 reclaimed 0 0 0 16384 70 5 vcpu\n";

    fn of(by: By) -> Vec<Group> {
        groups(&tasks::parse(THREADS).unwrap(), by, &Cgroups::new(Path::new("/nowhere")))
    }

    #[test]
    fn threads_and_their_sums() {
        let threads: Vec<_> = of(By::Thread).iter().map(|group| (group.tid, group.threads())).collect();
        assert_eq!(threads, [(7, 1), (8, 1), (9, 1)]);
        let processes = of(By::Process);
        assert_eq!(processes.len(), 2);
        assert_eq!(
            processes[0].json(By::Process),
            json!({ "pid": 7, "comm": "main", "threads": 2, "states": { "live": 1, "idle": 1 }, "bytes": 24576,
                    "guest_bytes": 0, "since_ms": 9 })
        );
        let cgroups = of(By::Cgroup);
        assert_eq!(cgroups.len(), 1);
        assert_eq!((cgroups[0].count(&State::Reclaimed), cgroups[0].guest_bytes), (1, 16384));
        assert_eq!(cgroups[0].json(By::Cgroup)["cgroup_path"], json!("#5"));
    }

    proptest! {
        #[test]
        fn no_thread_is_lost(lines in proptest::collection::vec((1..50u32, 1..500u32, 0..6usize, 0..9u64), 0..300)) {
            let mut threads = Vec::new();
            for (tid, (pid, _, state, cgroup)) in (1..).zip(&lines) {
                let state = tasks::STATES[*state].name();
                let line = format!("{pid} {tid} {state} 0 0 12288 0 0 {cgroup} a");
                threads.push(line);
            }
            let text = format!("{}\n{}\n", THREADS.lines().next().unwrap(), threads.join("\n"));
            let threads = tasks::parse(text.trim_end()).unwrap();
            for by in [By::Thread, By::Process, By::Cgroup] {
                let groups = groups(&threads, by, &Cgroups::new(Path::new("/nowhere")));
                prop_assert_eq!(groups.iter().map(Group::threads).sum::<u64>(), lines.len() as u64);
                prop_assert_eq!(groups.iter().map(|group| group.bytes).sum::<u64>(), 12288 * lines.len() as u64);
            }
        }
    }
}
