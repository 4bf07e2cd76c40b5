// SPDX-License-Identifier: GPL-2.0
//! The columns of a table: what each shows, and how it sorts the lines.

use super::super::clock;
use super::group::{By, Group};
use crate::module::tasks::State;
use bytesize::ByteSize;
use clap::ValueEnum;
use std::cmp::{Ordering, Reverse};
use std::time::Duration;

/// A column. Its name on the command line is its title in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// ID of the process
    Pid,
    /// ID of the thread
    Tid,
    /// State of the tiles
    State,
    /// Number of threads
    Threads,
    /// Threads with a buffer that are on a CPU
    Running,
    /// Threads that are not on a CPU and have data in their tiles
    Live,
    /// Threads that are not on a CPU and have tiles in their initial state
    Idle,
    /// Threads whose buffer was reclaimed
    Reclaimed,
    /// Time since the thread, or the latest of several, was put on a CPU
    Since,
    /// Memory of buffers
    Buffer,
    /// Memory of vCPU buffers
    Vcpu,
    /// Name
    Comm,
    /// Path of the cgroup
    Cgroup,
}

use Column::{Buffer, Cgroup, Comm, Idle, Live, Pid, Reclaimed, Running, Since, Threads, Tid, Vcpu};

impl Column {
    /// The columns of a table. The last one gets the remaining space.
    pub fn of(by: By) -> &'static [Self] {
        match by {
            By::Thread => &[Pid, Tid, Column::State, Since, Buffer, Vcpu, Comm, Cgroup],
            By::Process => &[Pid, Threads, Running, Live, Idle, Reclaimed, Since, Buffer, Vcpu, Comm],
            By::Cgroup => &[Threads, Running, Live, Idle, Reclaimed, Since, Buffer, Vcpu, Cgroup],
        }
    }

    /// The name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The title.
    pub fn title(self) -> String {
        self.name().to_uppercase()
    }

    /// Whether it shows text rather than numbers.
    pub fn is_text(self) -> bool {
        matches!(self, Column::State | Comm | Cgroup)
    }

    /// The cell of a line.
    pub fn text(self, group: &Group) -> String {
        let bytes = |bytes| match bytes {
            0 => "-".to_owned(),
            bytes => ByteSize::b(bytes).display().iec_short().to_string(),
        };
        match self {
            Pid => group.pid.to_string(),
            Tid => group.tid.to_string(),
            Column::State => group.states.keys().map(State::name).collect(),
            Threads => group.threads().to_string(),
            Running | Live | Idle | Reclaimed => self.count(group).to_string(),
            Since => clock::short_age(Duration::from_millis(group.since_ms)),
            Buffer => bytes(group.bytes),
            Vcpu => bytes(group.guest_bytes),
            Comm => group.comm.clone(),
            Cgroup => group.path.clone(),
        }
    }

    /// The order of two lines: names and IDs ascending, other numbers descending.
    pub fn order(self, a: &Group, b: &Group) -> Ordering {
        match self {
            Pid => (a.pid, a.tid).cmp(&(b.pid, b.tid)),
            Tid => a.tid.cmp(&b.tid),
            Column::State => a.states.keys().cmp(b.states.keys()),
            Threads => Reverse(a.threads()).cmp(&Reverse(b.threads())),
            Running | Live | Idle | Reclaimed => Reverse(self.count(a)).cmp(&Reverse(self.count(b))),
            Since => Reverse(a.since_ms).cmp(&Reverse(b.since_ms)),
            Buffer => Reverse(a.bytes).cmp(&Reverse(b.bytes)),
            Vcpu => Reverse(a.guest_bytes).cmp(&Reverse(b.guest_bytes)),
            Comm => a.comm.cmp(&b.comm),
            Cgroup => a.path.cmp(&b.path),
        }
    }

    fn count(self, group: &Group) -> u64 {
        match self {
            Running => group.count(&State::Running),
            Live => group.count(&State::Live),
            Idle => group.count(&State::Idle),
            _ => group.count(&State::Reclaimed),
        }
    }
}
