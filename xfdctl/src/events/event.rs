// SPDX-License-Identifier: GPL-2.0
//! An event, and its representation as a line of JSON.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The thread that an event is about. Anything that could not be determined is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The thread, in the initial PID namespace.
    #[serde(default)]
    pub tid: i32,
    /// The process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tgid: Option<i32>,
    /// The thread's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// The cgroup in the unified hierarchy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
}

/// How a first use ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Back to the instruction
    Resume,
    /// No permission
    Sigill,
    /// No memory
    Sigsegv,
    /// A verdict from a newer module.
    #[value(skip)]
    #[serde(other)]
    Unknown,
}

impl Verdict {
    /// The verdicts in the order of their numbers in the event.
    pub const KNOWN: [Verdict; 3] = [Verdict::Resume, Verdict::Sigill, Verdict::Sigsegv];

    /// Its name in options and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Resume => "resume",
            Verdict::Sigill => "sigill",
            Verdict::Sigsegv => "sigsegv",
            Verdict::Unknown => "unknown",
        }
    }
}

/// A first use, as recorded by the handler. Sizes are the register image's, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstUse {
    /// `IA32_XFD_ERR` when it was read.
    pub xfd_err: u64,
    /// `IA32_XFD_ERR` after the last step.
    pub xfd_err_after: u64,
    /// The components that the process may use.
    pub permitted: u64,
    /// The size before.
    pub size_before: u64,
    /// The size after.
    pub size_after: u64,
    /// `IA32_XFD` before.
    pub xfd_before: u64,
    /// `IA32_XFD` after.
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
    /// An #NM caused by XFD.
    #[serde(rename = "xfd_first_use")]
    FirstUse(FirstUse),
    /// A thread's buffer was reclaimed.
    #[serde(rename = "xfd_reclaimed")]
    Reclaimed {
        /// The memory of the buffer.
        bytes: u64,
    },
    /// A thread got its buffer back.
    #[serde(rename = "xfd_regrown")]
    Regrown {
        /// The memory of the buffer.
        bytes: u64,
    },
    /// A vCPU's buffer was enlarged.
    #[serde(rename = "xfd_guest_grown")]
    GuestGrown {
        /// The components that the buffer has space for.
        xfeatures: u64,
        /// The size of the register image before.
        size_before: u64,
        /// The size of the register image after.
        size_after: u64,
    },
    /// The kernel's buffer was full, and events were lost.
    #[serde(rename = "lost")]
    Lost {
        /// How many; 0 if the kernel does not know.
        count: u64,
    },
    /// An event from a newer version.
    #[serde(other)]
    Other,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub ns: u64,
    /// The CPU.
    pub cpu: u32,
    /// The thread; empty where events were lost.
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
