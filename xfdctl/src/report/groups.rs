// SPDX-License-Identifier: GPL-2.0
//! Totals of events.

use crate::events::event::Who;
use crate::events::{Event, Verdict, What};
use crate::text::{name, plain};
use clap::ValueEnum;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// A thread
    Thread,
    /// A process
    Process,
    /// All threads with the same name
    Comm,
    /// A cgroup
    Cgroup,
    /// First uses with the same verdict
    Verdict,
}

/// The columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// What the row stands for
    Name,
    /// First uses
    FirstUses,
    /// First uses that were granted
    Granted,
    /// First uses without permission
    Denied,
    /// First uses that found no memory
    NoMemory,
    /// Minimum ticks of a first use
    Min,
    /// Median ticks of a first use
    Median,
    /// Maximum ticks of a first use
    Max,
    /// Growth of the register images
    Bytes,
    /// Buffers that were reclaimed
    Reclaimed,
    /// Buffers that threads got back
    Regrown,
    /// vCPU buffers that were enlarged
    Guests,
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What it stands for.
    pub name: String,
    /// The thread, or one of the threads.
    #[serde(flatten)]
    pub who: Who,
    /// First uses.
    pub first_uses: u64,
    /// First uses that were granted.
    pub granted: u64,
    /// First uses without permission.
    pub denied: u64,
    /// First uses that found no memory.
    pub no_memory: u64,
    /// The minimum number of ticks.
    pub ticks_min: Option<u64>,
    /// The median number of ticks; for an even number of values, the lower of the middle two.
    pub ticks_median: Option<u64>,
    /// The maximum number of ticks.
    pub ticks_max: Option<u64>,
    /// The growth of register images, including those of guests.
    pub bytes: u64,
    /// Buffers that were reclaimed.
    pub reclaimed: u64,
    /// Buffers that threads got back.
    pub regrown: u64,
    /// vCPU buffers that were enlarged.
    pub guests: u64,
    #[serde(skip)]
    ticks: Vec<u64>,
}

impl Row {
    fn add(&mut self, what: &What) {
        match what {
            What::FirstUse(first) => {
                self.first_uses += 1;
                self.ticks.push(first.tsc);
                self.bytes += first.size_after.saturating_sub(first.size_before);
                match first.verdict {
                    Verdict::Resume => self.granted += 1,
                    Verdict::Sigill => self.denied += 1,
                    Verdict::Sigsegv => self.no_memory += 1,
                    Verdict::Unknown => {}
                }
            }
            What::Reclaimed { .. } => self.reclaimed += 1,
            What::Regrown { .. } => self.regrown += 1,
            What::GuestGrown { size_before, size_after, .. } => {
                self.guests += 1;
                self.bytes += size_after.saturating_sub(*size_before);
            }
            What::Lost { .. } | What::Other => {}
        }
    }

    fn finish(&mut self) {
        self.ticks.sort_unstable();
        self.ticks_min = self.ticks.first().copied();
        self.ticks_median = self.ticks.get(self.ticks.len().saturating_sub(1) / 2).copied();
        self.ticks_max = self.ticks.last().copied();
    }

    fn value(&self, column: Column) -> u64 {
        match column {
            Column::Name => 0,
            Column::FirstUses => self.first_uses,
            Column::Granted => self.granted,
            Column::Denied => self.denied,
            Column::NoMemory => self.no_memory,
            Column::Min => self.ticks_min.unwrap_or(0),
            Column::Median => self.ticks_median.unwrap_or(0),
            Column::Max => self.ticks_max.unwrap_or(0),
            Column::Bytes => self.bytes,
            Column::Reclaimed => self.reclaimed,
            Column::Regrown => self.regrown,
            Column::Guests => self.guests,
        }
    }
}

/// The rows, sorted.
pub fn rows(events: &[Event], by: By, sort: Column) -> Vec<Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for event in events {
        let Some(name) = group(event, by) else { continue };
        let row = rows.entry(name.clone()).or_default();
        if row.name.is_empty() {
            row.name = name;
            row.who = relevant(&event.who, by);
        }
        row.add(&event.what);
    }
    let mut rows: Vec<_> = rows.into_values().collect();
    rows.iter_mut().for_each(Row::finish);
    // The rows are already ordered by name, and the sort is stable.
    rows.sort_by_key(|row| Reverse(row.value(sort)));
    rows
}

/// The number of lost events that this event reports.
pub fn lost(event: &Event) -> u64 {
    if let What::Lost { count } = event.what {
        count.max(1)
    } else {
        0
    }
}

/// The number of events that this program does not know.
pub fn unknown(events: &[Event]) -> u64 {
    events.iter().map(|event| u64::from(event.what == What::Other)).sum()
}

/// The row that the event belongs to, if any.
fn group(event: &Event, by: By) -> Option<String> {
    let who = &event.who;
    if matches!(event.what, What::Lost { .. } | What::Other) {
        return None;
    }
    Some(match by {
        By::Thread => format!("{} {}", name(who), who.tid),
        By::Process => who.tgid.map_or_else(|| "(gone)".into(), |tgid| tgid.to_string()),
        By::Comm => name(who),
        By::Cgroup => who.cgroup.as_deref().map_or_else(|| "(gone)".into(), plain),
        By::Verdict => match &event.what {
            What::FirstUse(first) => first.verdict.word().into(),
            _ => return None,
        },
    })
}

fn relevant(who: &Who, by: By) -> Who {
    let who = who.clone();
    match by {
        By::Thread => who,
        By::Process => Who { tid: who.tgid.unwrap_or(0), ..who },
        By::Comm => Who { tid: 0, tgid: None, cgroup: None, ..who },
        By::Cgroup => Who { tid: 0, tgid: None, comm: None, ..who },
        By::Verdict => Who::default(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::events::event::FirstUse;

    pub fn first_use(ns: u64, tid: i32, verdict: Verdict, tsc: u64) -> Event {
        let size_after = if verdict == Verdict::Resume { 10752 } else { 2560 };
        let what = What::FirstUse(FirstUse {
            xfd_err: 0x40000,
            xfd_err_after: 0,
            permitted: 0x60ae7,
            size_before: 2560,
            size_after,
            xfd_before: 0x40000,
            xfd_after: 0,
            verdict,
            tsc,
        });
        Event { ns, cpu: 0, who: who(tid), what }
    }

    fn who(tid: i32) -> Who {
        Who { tid, tgid: Some(tid / 10), comm: Some(format!("t{}", tid % 2)), cgroup: Some("/a".into()) }
    }

    fn sample() -> Vec<Event> {
        let of = |tid, what| Event { ns: 9, cpu: 0, who: who(tid), what };
        vec![
            first_use(1, 11, Verdict::Resume, 300),
            first_use(2, 12, Verdict::Sigill, 100),
            first_use(3, 21, Verdict::Resume, 500),
            first_use(4, 22, Verdict::Sigsegv, 900),
            of(21, What::Reclaimed { bytes: 12288 }),
            of(21, What::Regrown { bytes: 12288 }),
            of(11, What::GuestGrown { xfeatures: 1, size_before: 10, size_after: 30 }),
            of(0, What::Lost { count: 3 }),
            of(0, What::Other),
        ]
    }

    fn named(by: By, sort: Column) -> Vec<String> {
        rows(&sample(), by, sort).into_iter().map(|row| row.name).collect()
    }

    #[test]
    fn each_event_is_in_one_row() {
        assert_eq!(named(By::Thread, Column::Name), ["t0 12", "t0 22", "t1 11", "t1 21"]);
        assert_eq!(named(By::Process, Column::Name), ["1", "2"]);
        assert_eq!(named(By::Comm, Column::Name), ["t0", "t1"]);
        assert_eq!(named(By::Cgroup, Column::Name), ["/a"]);
        assert_eq!(named(By::Verdict, Column::Name), ["resume", "sigill", "sigsegv"]);
    }

    #[test]
    fn the_sums_are_right() {
        let row = &rows(&sample(), By::Cgroup, Column::Name)[0];
        assert_eq!((row.first_uses, row.granted, row.denied, row.no_memory), (4, 2, 1, 1));
        assert_eq!((row.ticks_min, row.ticks_median, row.ticks_max), (Some(100), Some(300), Some(900)));
        assert_eq!((row.bytes, row.reclaimed, row.regrown, row.guests), (2 * 8192 + 20, 1, 1, 1));
        let none = Event { ns: 1, cpu: 0, who: who(1), what: What::Reclaimed { bytes: 1 } };
        assert_eq!(rows(&[none], By::Thread, Column::Name)[0].ticks_median, None);
    }

    #[test]
    fn sorted_by_any_column() {
        let first = |column| named(By::Thread, column).remove(0);
        assert_eq!((first(Column::Max), first(Column::Reclaimed)), ("t0 22".into(), "t1 21".into()));
        assert_eq!((first(Column::Denied), first(Column::NoMemory)), ("t0 12".into(), "t0 22".into()));
        assert_eq!((first(Column::Bytes), first(Column::Guests)), ("t1 11".into(), "t1 11".into()));
    }
}
