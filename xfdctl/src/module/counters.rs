// SPDX-License-Identifier: GPL-2.0
//! `/proc/xfd/counters`: each line has a name and a number.

use anyhow::Context;
use serde::Serialize;
use std::time::Duration;

/// The kind of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Counts events since the module was loaded.
    Counter,
    /// A current value.
    Now,
    /// Not known to this program.
    Unknown,
}

/// A number that this program knows.
pub struct Known {
    /// Its name in the file.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its meaning, in a few words.
    pub meaning: &'static str,
}

/// The only line that is a time.
const SINCE: &str = "in_charge_since_ms";

const fn counter(name: &'static str, meaning: &'static str) -> Known {
    Known { name, kind: Kind::Counter, meaning }
}

const fn now(name: &'static str, meaning: &'static str) -> Known {
    Known { name, kind: Kind::Now, meaning }
}

/// The numbers in Documentation/ABI/procfs-xfd.
pub const KNOWN: [Known; 12] = [
    counter("first_uses", "first uses served, one per thread and facility"),
    counter("recycled", "first uses whose buffer came from the pool"),
    counter("reclaimed", "buffers reclaimed from threads that slept without live tiles"),
    counter("regrown", "reclaimed buffers that threads got back when they ran again"),
    counter("guests_grown", "vCPU buffers that were enlarged for tiles"),
    counter("denied", "uses without permission: SIGILL"),
    counter("failed_allocations", "uses that failed for lack of memory: SIGSEGV, or an error from KVM"),
    counter("repeated", "#NM of threads that already had a buffer: anything but 0 is a bug in xfd"),
    counter("ordinary_nm", "#NM not caused by XFD, passed on to the kernel"),
    now("pooled", "buffers kept for the next first use"),
    now("in_flight", "tasks in the module's code"),
    now("owed", "threads whose buffer is reclaimed"),
];

/// One reading of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// In the file's order, without the time.
    numbers: Vec<(String, i64)>,
    since_ms: u64,
}

impl Counters {
    /// Parses the file's text.
    ///
    /// # Errors
    ///
    /// Fails if a line is not a name and a number.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut counters = Self { numbers: Vec::new(), since_ms: 0 };
        for (number, line) in text.lines().enumerate() {
            let place = || format!("line {}: {line:?}", number + 1);
            let (name, value) = line.split_once(' ').with_context(place)?;
            if name == SINCE {
                counters.since_ms = value.parse().with_context(place)?;
            } else {
                counters.numbers.push((name.to_owned(), value.parse().with_context(place)?));
            }
        }
        Ok(counters)
    }

    /// The time since boot at which the module took over; `None` if the kernel's own code is in charge.
    pub fn in_charge_since(&self) -> Option<Duration> {
        (self.since_ms > 0).then(|| Duration::from_millis(self.since_ms))
    }

    /// The value of a number; 0 if the file does not have it.
    pub fn get(&self, name: &str) -> i64 {
        self.numbers.iter().find(|(of, _)| of == name).map_or(0, |(_, value)| *value)
    }

    /// All numbers with their meanings, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64, Kind, &'static str)> {
        self.numbers.iter().map(|(name, value)| {
            let known = KNOWN.iter().find(|known| known.name == name);
            let (kind, meaning) = known.map_or((Kind::Unknown, "not known to this xfdctl"), |k| (k.kind, k.meaning));
            (name.as_str(), *value, kind, meaning)
        })
    }

    /// Whether `later` continues these counters: the module was neither loaded nor enabled again in between.
    pub fn goes_on_in(&self, later: &Self) -> bool {
        let grows = |(name, value, kind, _): (&str, i64, Kind, _)| kind != Kind::Counter || later.get(name) >= value;
        self.since_ms == later.since_ms && self.iter().all(grows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_numbers_are_kept() {
        let counters = Counters::parse("first_uses 3\nin_charge_since_ms 1500\nnews 7\npooled 2\n").unwrap();
        let seen: Vec<_> = counters.iter().map(|(name, value, kind, _)| (name, value, kind)).collect();
        assert_eq!(seen, [("first_uses", 3, Kind::Counter), ("news", 7, Kind::Unknown), ("pooled", 2, Kind::Now)]);
        assert_eq!(counters.in_charge_since(), Some(Duration::from_millis(1500)));
        assert_eq!(Counters::parse("in_charge_since_ms 0\n").unwrap().in_charge_since(), None);
        assert_eq!((counters.get("news"), counters.get("denied")), (7, 0));
    }

    #[test]
    fn a_module_loaded_again_starts_over() {
        let parse = |text: &str| Counters::parse(text).unwrap();
        let before = parse("first_uses 3\npooled 2\nin_charge_since_ms 9\n");
        assert!(before.goes_on_in(&parse("first_uses 4\npooled 0\nin_charge_since_ms 9\n")));
        assert!(!before.goes_on_in(&parse("first_uses 2\npooled 0\nin_charge_since_ms 9\n")));
        assert!(!before.goes_on_in(&parse("first_uses 4\npooled 0\nin_charge_since_ms 10\n")));
    }

    #[test]
    fn an_error_names_the_line() {
        for text in ["first_uses 1\nnothing\n", "a 1\nb x\n", "a 1\nb 1 2\n", "a 1\nin_charge_since_ms -1\n"] {
            let error = format!("{:#}", Counters::parse(text).unwrap_err());
            assert!(error.starts_with("line 2: "), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC*|([a-z_]{0,8} ?-?[0-9]{0,25}\n){0,9}") {
            let _ = Counters::parse(&text);
        }

        #[test]
        fn every_number_is_found(numbers in proptest::collection::btree_map("[a-z]{1,9}", any::<i64>(), 0..20)) {
            let lines: Vec<_> = numbers.iter().map(|(name, value)| format!("{name} {value}")).collect();
            let counters = Counters::parse(&lines.join("\n")).unwrap();
            for (name, value) in &numbers {
                prop_assert_eq!(counters.get(name), *value);
            }
        }
    }
}
