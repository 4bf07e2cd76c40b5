// SPDX-License-Identifier: GPL-2.0
//! When events happened: a record's time divided into equal parts, and the events in each.

use crate::events::{Event, Verdict, What};
use crate::record::file::Record;
use crate::text::seconds;
use serde::Serialize;
use std::io::{self, Write};

/// The maximum number of lines.
const PARTS: u64 = 20;
const BAR: u64 = 40;

/// One part of the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Part {
    /// Nanoseconds from the first event to the beginning of this part.
    after_ns: u64,
    first_uses: u64,
    /// First uses refused for lack of permission or memory.
    refused: u64,
    reclaimed: u64,
    regrown: u64,
    lost: u64,
}

/// Prints the timeline.
pub fn print(out: &mut impl Write, record: &Record, json: bool) -> io::Result<()> {
    let parts = parts(&record.events);
    if json {
        return parts.iter().try_for_each(|part| writeln!(out, "{}", serde_json::to_string(part)?));
    }
    if parts.is_empty() {
        return writeln!(out, "nothing happened");
    }
    let most = parts.iter().map(|part| part.first_uses).max().unwrap_or(0).max(1);
    writeln!(out, "{:>13} {:>10} {:>7} {:>9} {:>7}", "seconds", "first uses", "refused", "reclaimed", "regrown")?;
    for part in &parts {
        let length = (part.first_uses * (BAR - 12)).div_ceil(most);
        let bar = "#".repeat(usize::try_from(length).unwrap_or(0));
        let lost = if part.lost == 0 { String::new() } else { format!(" {} lost", part.lost) };
        let line = format!(
            "{:>13} {:>10} {:>7} {:>9} {:>7} {bar}{lost}",
            seconds(part.after_ns),
            part.first_uses,
            part.refused,
            part.reclaimed,
            part.regrown
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Counts events, which are in order. Events whose time is unknown are counted in the first part.
fn parts(events: &[Event]) -> Vec<Part> {
    let Some(begin) = events.iter().map(|event| event.ns).find(|&ns| ns != 0) else { return Vec::new() };
    let end = events.last().map_or(begin, |event| event.ns);
    // Each part begins a nanosecond after the previous one ended.
    let length = ((end - begin) / PARTS + 1).max(1);
    let count = (end - begin) / length + 1;
    let mut parts: Vec<_> = (0..count).map(|number| Part { after_ns: number * length, ..Part::default() }).collect();
    for event in events {
        let number = usize::try_from(event.ns.saturating_sub(begin) / length).unwrap_or(0);
        let part = &mut parts[number];
        match &event.what {
            What::FirstUse(first) => {
                part.first_uses += 1;
                part.refused += u64::from(matches!(first.verdict, Verdict::Sigill | Verdict::Sigsegv));
            }
            What::Reclaimed { .. } => part.reclaimed += 1,
            What::Regrown { .. } => part.regrown += 1,
            What::Lost { .. } => part.lost += super::groups::lost(event),
            What::GuestGrown { .. } | What::Other => {}
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::first_use;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_event_is_in_its_part() {
        let mut events: Vec<_> = (0..100).map(|n| first_use(1000 + n, 1, Verdict::Resume, 1)).collect();
        events.push(first_use(1099, 2, Verdict::Sigill, 1));
        let parts = parts(&events);
        assert_eq!((parts.len(), parts[0].first_uses, parts[0].after_ns, parts[1].after_ns), (20, 5, 0, 5));
        assert_eq!((parts[19].first_uses, parts[19].refused), (6, 1));
        assert_eq!(super::parts(&events[..1]).len(), 1);
        assert!(super::parts(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn no_event_is_left_out(mut times in proptest::collection::vec(any::<u64>(), 1..50)) {
            times.sort_unstable();
            let events: Vec<_> = times.iter().map(|&ns| first_use(ns, 1, Verdict::Resume, 1)).collect();
            let parts = parts(&events);
            prop_assert!(parts.len() <= 21);
            if times.iter().any(|&ns| ns != 0) {
                prop_assert_eq!(parts.iter().map(|part| part.first_uses).sum::<u64>(), events.len() as u64);
            }
        }
    }
}
