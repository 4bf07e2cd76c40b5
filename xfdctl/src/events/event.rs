// SPDX-License-Identifier: GPL-2.0
//! An event, which is a line of JSON as well.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Who an event is about. What could not be found out is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The thread, in the initial PID namespace.
    #[serde(default)]
    pub tid: i32,
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tgid: Option<i32>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// Its cgroup in the unified hierarchy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
}

/// How a first use ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Back to the instruction.
    Resume,
    /// No permission.
    Sigill,
    /// No memory.
    Sigsegv,
    /// One of a newer module.
    #[value(skip)]
    #[serde(other)]
    Unknown,
}

impl Verdict {
    /// Its number in the event; none is that of what is not known.
    pub const KNOWN: [Verdict; 3] = [Verdict::Resume, Verdict::Sigill, Verdict::Sigsegv];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Resume => "resume",
            Verdict::Sigill => "sigill",
            Verdict::Sigsegv => "sigsegv",
            Verdict::Unknown => "unknown",
        }
    }
}

/// One first use, as the handler saw it. Sizes are bytes of the register image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstUse {
    /// `IA32_XFD_ERR` when it was read.
    pub xfd_err: u64,
    /// And after the last step.
    pub xfd_err_after: u64,
    /// Components that the process may use.
    pub permitted: u64,
    /// Before.
    pub size_before: u64,
    /// After.
    pub size_after: u64,
    /// `IA32_XFD` before.
    pub xfd_before: u64,
    /// And after.
    pub xfd_after: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// TSC ticks from the first step to the last.
    pub tsc: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum What {
    /// One #NM of XFD's.
    #[serde(rename = "xfd_first_use")]
    FirstUse(FirstUse),
    /// A thread's buffer was taken.
    #[serde(rename = "xfd_reclaimed")]
    Reclaimed {
        /// Memory of the buffer.
        bytes: u64,
    },
    /// A thread has a buffer again.
    #[serde(rename = "xfd_regrown")]
    Regrown {
        /// Memory of the buffer.
        bytes: u64,
    },
    /// A vCPU's buffer got room.
    #[serde(rename = "xfd_guest_grown")]
    GuestGrown {
        /// Components that it has room for.
        xfeatures: u64,
        /// Bytes of the register image before.
        size_before: u64,
        /// And after.
        size_after: u64,
    },
    /// The kernel had no room for so many events; 0 if it does not know how many.
    #[serde(rename = "lost")]
    Lost {
        /// How many.
        count: u64,
    },
    /// One of a newer version.
    #[serde(other)]
    Other,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub ns: u64,
    /// On which CPU.
    pub cpu: u32,
    /// About whom; nobody, where events were lost.
    #[serde(flatten)]
    pub who: Who,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_are_read() {
        let text = r#"{"ns":1,"cpu":2,"tid":3,"event":"xfd_regrown","bytes":4,"new":[5]}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!((event.who.tid, event.what), (3, What::Regrown { bytes: 4 }));
        let text = r#"{"ns":1,"cpu":2,"event":"xfd_dreamt","of":"sheep"}"#;
        assert_eq!(serde_json::from_str::<Event>(text).unwrap().what, What::Other);
        assert_eq!(serde_json::from_str::<Verdict>("\"sigfpe\"").unwrap(), Verdict::Unknown);
    }
}
