// SPDX-License-Identifier: GPL-2.0
//! Rows as a table of 80 columns, or wider if a name is long; or as JSON.

use super::groups::{By, Row};
use crate::paint;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

const WIDTH: usize = 80;
/// The space left for a name when all columns are shown.
const NAME: usize = 13;

/// Prints the rows. Columns without any values are left out, except the first ones.
pub fn print(out: &mut impl Write, rows: &[Row], by: By, json: bool) -> io::Result<()> {
    if json {
        return rows.iter().try_for_each(|row| writeln!(out, "{}", serde_json::to_string(row)?));
    }
    if rows.is_empty() {
        return writeln!(out, "nothing happened");
    }
    write!(out, "{}", table(rows, by))
}

type Value = fn(&Row) -> Option<u64>;

fn table(rows: &[Row], by: By) -> String {
    let name = match by {
        By::Thread => "thread",
        By::Process => "process",
        By::Comm => "name",
        By::Cgroup => "cgroup",
        By::Verdict => "verdict",
    };
    let columns: [(&str, Value); 11] = [
        ("first uses", |row| Some(row.first_uses)),
        ("granted", |row| Some(row.granted)),
        ("denied", |row| Some(row.denied)),
        ("no memory", |row| Some(row.no_memory)),
        ("ticks min", |row| row.ticks_min),
        ("median", |row| row.ticks_median),
        ("max", |row| row.ticks_max),
        ("bytes", |row| Some(row.bytes)),
        ("reclaimed", |row| Some(row.reclaimed)),
        ("regrown", |row| Some(row.regrown)),
        ("guests", |row| Some(row.guests)),
    ];
    let is_shown = |&(number, (_, value)): &(usize, (&str, Value))| {
        number < 3 || rows.iter().any(|row| value(row).is_some_and(|value| value != 0))
    };
    let shown: Vec<_> = columns.into_iter().enumerate().filter(is_shown).map(|(_, column)| column).collect();
    let columns: Vec<_> =
        std::iter::once((name, false)).chain(shown.iter().map(|(title, _)| (*title, true))).collect();
    let mut longest = 0;
    let cells = rows.iter().map(|row| {
        let value = |value: &Value| value(row).map_or_else(|| "-".to_owned(), |value| value.to_string());
        let values = shown.iter().map(|(_, column)| value(column));
        let name = match (by, row.who.comm.as_deref()) {
            (By::Process, Some(comm)) => format!("{} {}", crate::text::plain(comm), row.name),
            _ => row.name.clone(),
        };
        longest = longest.max(name.width());
        std::iter::once(name).chain(values).collect()
    });
    let cells: Vec<_> = cells.collect();
    paint::table_within(&columns, &cells, 2, Some(WIDTH + longest.saturating_sub(NAME)))
}

#[cfg(test)]
mod tests {
    use super::super::groups::{rows, tests::first_use, Column};
    use super::*;
    use crate::events::{Event, Verdict, What};

    fn shown(events: &[Event], json: bool) -> String {
        let mut out = Vec::new();
        print(&mut out, &rows(events, By::Thread, Column::FirstUses), By::Thread, json).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn empty_columns_are_left_out() {
        let events = [first_use(1, 131, Verdict::Resume, 365), first_use(2, 132, Verdict::Sigill, 1039)];
        let text = shown(&events, false);
        let words: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0].join(" "), "thread first uses granted denied ticks min median max bytes");
        assert_eq!(words[1], ["t0", "132", "1", "0", "1", "1039", "1039", "1039", "0"]);
        assert_eq!(words[2], ["t1", "131", "1", "1", "0", "365", "365", "365", "8192"]);
        assert_eq!(shown(&[], false), "nothing happened\n");
    }

    #[test]
    fn eighty_columns_are_enough() {
        let mut events = vec![first_use(1, 2_000_000_001, Verdict::Sigsegv, 123_456_789_012)];
        events.push(first_use(1, 2_000_000_001, Verdict::Sigill, 3));
        let who = events[0].who.clone();
        for what in [
            What::Reclaimed { bytes: 1 },
            What::Regrown { bytes: 1 },
            What::GuestGrown { xfeatures: 1, size_before: 0, size_after: 99_999_999 },
        ] {
            events.push(Event { ns: 1, cpu: 0, who: who.clone(), what });
        }
        for line in shown(&events, false).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn a_long_name_is_not_wrapped() {
        let mut event = first_use(1, 131, Verdict::Resume, 365);
        let path = "/kubepods.slice/kubepods-burstable.slice/cri-containerd-0123456789abcdef.scope";
        event.who.cgroup = Some(path.into());
        let mut out = Vec::new();
        print(&mut out, &rows(&[event], By::Cgroup, Column::FirstUses), By::Cgroup, false).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().nth(1).unwrap().starts_with(&format!("{path} ")), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn as_json() {
        let text = shown(&[first_use(1, 131, Verdict::Resume, 365)], true);
        let row: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&row["tid"], &row["granted"], &row["ticks_median"]), (&131.into(), &1.into(), &365.into()));
    }
}
