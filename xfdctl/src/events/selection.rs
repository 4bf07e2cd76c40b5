// SPDX-License-Identifier: GPL-2.0
//! What the user asks for: as options, as filters for the kernel, and as the final decision on an event.

use super::event::{Event, Verdict, What};
use super::format::Name;
use clap::Args;
use std::collections::HashSet;

/// The kernel truncates longer names.
const COMM_BYTES: usize = 15;
/// The permitted ring buffer sizes.
const BUFFER_KIB: std::ops::RangeInclusive<i64> = 4..=1_048_576;
/// The mount point of the unified hierarchy.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Which events to show.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// Only events of this process and all its threads; may be repeated
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub pid: Vec<i32>,
    /// Only events of this thread; may be repeated
    #[arg(long, value_name = "TID", value_parser = clap::value_parser!(i32).range(1..))]
    pub tid: Vec<i32>,
    /// Only events of threads with this name
    #[arg(long, value_name = "NAME")]
    pub comm: Option<String>,
    /// Only events of threads in this cgroup (/user.slice, or its folder) or below
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<String>,
    /// Only first uses with this verdict; may be repeated
    #[arg(long, value_enum)]
    pub verdict: Vec<Verdict>,
    /// Only this event; may be repeated [default: all events]
    #[arg(long, value_enum, value_name = "EVENT")]
    pub event: Vec<Name>,
    /// Size of the kernel's buffer for unread events, in KiB per CPU
    #[arg(long, value_name = "KIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(BUFFER_KIB))]
    pub buffer: u32,
}

/// What the session knows in addition to the event.
#[derive(Debug, Default)]
pub struct Known {
    /// Those of the program's threads that had a first use; `None` if no program runs.
    pub tree: Option<HashSet<i32>>,
}

/// Whether an event is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// Its thread ended before it could be looked up.
    CannotTell,
}

impl Selection {
    /// The events to enable.
    pub fn events(&self) -> Vec<Name> {
        let named = |name: &Name| self.event.is_empty() || self.event.contains(name);
        let judged = |name: &Name| self.verdict.is_empty() || *name == Name::FirstUse;
        Name::ALL.into_iter().filter(named).filter(judged).collect()
    }

    /// The kernel's filter for an event; `None` if it needs none.
    pub fn filter(&self, name: Name) -> Option<String> {
        let any = |parts: Vec<String>| (!parts.is_empty()).then(|| format!("({})", parts.join(" || ")));
        let equal = |field: &str, values: &[i32]| values.iter().map(|value| format!("{field} == {value}")).collect();
        let thread = if name.is_of_writer() { "common_pid" } else { "tid" };
        let mut parts = vec![any(equal(thread, &self.tid))];
        if !name.is_of_writer() {
            parts.push(any(equal("tgid", &self.pid)));
        }
        if name == Name::FirstUse {
            let numbers = (0..).zip(Verdict::KNOWN).filter(|(_, verdict)| self.verdict.contains(verdict));
            parts.push(any(equal("verdict", &numbers.map(|(number, _)| number).collect::<Vec<_>>())));
        }
        // For first uses and guests this is the name of the thread that writes the event.
        parts.push(self.filtered_comm().map(|comm| format!("comm == \"{comm}\"")));
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" && "))
    }

    /// The name, if a kernel filter can contain it.
    pub fn filtered_comm(&self) -> Option<&str> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./: +".contains(c);
        self.comm().filter(|comm| !comm.is_empty() && comm.chars().all(plain))
    }

    fn comm(&self) -> Option<&str> {
        let comm = self.comm.as_deref()?;
        Some(&comm[..comm.floor_char_boundary_of(COMM_BYTES)])
    }

    fn cgroup(&self) -> Option<&str> {
        let path = self.cgroup.as_deref()?;
        let path = path.strip_prefix(CGROUPS).unwrap_or(path);
        Some(path.trim_end_matches('/'))
    }

    /// The final decision on an event. The kernel's filters let more through.
    pub fn wants(&self, event: &Event, known: &Known) -> Wanted {
        let who = &event.who;
        if matches!(event.what, What::Lost { .. }) {
            return Wanted::Yes;
        }
        let is = |asked: bool, known: Option<bool>| match (asked, known) {
            (false, _) | (true, Some(true)) => Wanted::Yes,
            (true, Some(false)) => Wanted::No,
            (true, None) => Wanted::CannotTell,
        };
        let in_cgroup = |of: &str, cgroup: &str| {
            of.strip_prefix(cgroup).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let answers = [
            is(known.tree.is_some(), known.tree.as_ref().map(|tree| tree.contains(&who.tid))),
            is(!self.tid.is_empty(), Some(self.tid.contains(&who.tid))),
            is(!self.pid.is_empty(), who.tgid.map(|tgid| self.pid.contains(&tgid))),
            is(self.comm.is_some(), who.comm.as_deref().map(|comm| Some(comm) == self.comm())),
            is(
                self.cgroup.is_some(),
                who.cgroup.as_deref().map(|of| self.cgroup().is_some_and(|cgroup| in_cgroup(of, cgroup))),
            ),
        ];
        let has = |answer| answers.contains(&answer);
        match (has(Wanted::No), has(Wanted::CannotTell)) {
            (true, _) => Wanted::No,
            (false, true) => Wanted::CannotTell,
            (false, false) => Wanted::Yes,
        }
    }
}

/// `str::floor_char_boundary` is newer than the oldest Rust that can build this.
trait Boundary {
    fn floor_char_boundary_of(&self, at: usize) -> usize;
}

impl Boundary for str {
    fn floor_char_boundary_of(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Who;
    use super::*;

    fn event(tid: i32, process: Option<i32>, cgroup: Option<&str>) -> Event {
        let who = Who { tid, tgid: process, comm: Some("amx".into()), cgroup: cgroup.map(str::to_owned) };
        Event { ns: 1, cpu: 0, who, what: What::Reclaimed { bytes: 1 } }
    }

    fn wants(selection: &Selection, event: &Event) -> Wanted {
        selection.wants(event, &Known::default())
    }

    #[test]
    fn the_kernel_filters_what_it_can() {
        let all = Selection::default();
        assert_eq!(Name::ALL.map(|name| all.filter(name)), [None, None, None, None]);
        let some = Selection {
            pid: vec![4],
            tid: vec![5, 6],
            comm: Some("a name that is too long".into()),
            verdict: vec![Verdict::Sigsegv, Verdict::Sigill],
            ..Selection::default()
        };
        let first =
            "(common_pid == 5 || common_pid == 6) && (verdict == 1 || verdict == 2) && comm == \"a name that is \"";
        assert_eq!(some.filter(Name::FirstUse).unwrap(), first);
        let other = "(tid == 5 || tid == 6) && (tgid == 4) && comm == \"a name that is \"";
        assert_eq!(some.filter(Name::Regrown).unwrap(), other);
        let quoted = Selection { comm: Some("x\" || 1".into()), ..Selection::default() };
        assert_eq!(quoted.filter(Name::FirstUse), None);
    }

    #[test]
    fn only_first_uses_have_a_verdict() {
        let denied = Selection { verdict: vec![Verdict::Sigill], ..Selection::default() };
        assert_eq!(denied.events(), [Name::FirstUse]);
        let event = vec![Name::Regrown];
        assert_eq!(Selection { event: event.clone(), ..Selection::default() }.events(), event);
        assert_eq!(Selection { event, ..denied }.events(), []);
    }

    #[test]
    fn by_process_and_thread() {
        let both = Selection { pid: vec![4], tid: vec![5, 6], ..Selection::default() };
        assert_eq!(wants(&both, &event(5, Some(4), None)), Wanted::Yes);
        assert_eq!(wants(&both, &event(7, Some(4), None)), Wanted::No);
        assert_eq!(wants(&both, &event(5, Some(3), None)), Wanted::No);
        assert_eq!(wants(&both, &event(5, None, None)), Wanted::CannotTell);
        assert_eq!(wants(&both, &event(7, None, None)), Wanted::No);
    }

    #[test]
    fn by_name_and_cgroup() {
        let named = |comm: &str| Selection { comm: Some(comm.into()), ..Selection::default() };
        assert_eq!(wants(&named("amx"), &event(5, None, None)), Wanted::Yes);
        assert_eq!(wants(&named("amx2"), &event(5, None, None)), Wanted::No);
        let inside = |cgroup: &str| Selection { cgroup: Some(cgroup.into()), ..Selection::default() };
        for cgroup in ["/a/b", "/a", "/sys/fs/cgroup/a/", "/", "/sys/fs/cgroup"] {
            assert_eq!(wants(&inside(cgroup), &event(5, None, Some("/a/b"))), Wanted::Yes, "{cgroup}");
        }
        assert_eq!(wants(&inside("/a"), &event(5, None, Some("/ab"))), Wanted::No);
        assert_eq!(wants(&inside("/a"), &event(5, None, None)), Wanted::CannotTell);
    }

    #[test]
    fn by_the_programs_tree() {
        let known = Known { tree: Some([5].into()) };
        assert_eq!(Selection::default().wants(&event(5, None, None), &known), Wanted::Yes);
        assert_eq!(Selection::default().wants(&event(6, None, None), &known), Wanted::No);
    }
}
