// SPDX-License-Identifier: GPL-2.0
//! `/proc/xfd/counters`: a name and a number a line.

use anyhow::Context;
use serde::Serialize;
use std::time::Duration;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It has grown since the module was loaded.
    Counter,
    /// It is so at this moment.
    Now,
    /// This program does not know it.
    Unknown,
}

/// A number that is known here.
pub struct Known {
    /// In the file.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In a few words.
    pub meaning: &'static str,
}

/// Since when it is in charge is no number of anything.
const SINCE: &str = "in_charge_since_ms";

const fn counter(name: &'static str, meaning: &'static str) -> Known {
    Known { name, kind: Kind::Counter, meaning }
}

const fn now(name: &'static str, meaning: &'static str) -> Known {
    Known { name, kind: Kind::Now, meaning }
}

/// Those of Documentation/ABI/procfs-xfd.
pub const KNOWN: [Known; 12] = [
    counter("first_uses", "first uses served, one per thread and facility"),
    counter("recycled", "first uses whose buffer came from the pool"),
    counter("reclaimed", "buffers taken from threads that slept without live tiles"),
    counter("regrown", "reclaimed buffers that threads got back when they ran again"),
    counter("guests_grown", "buffers of vCPUs that got room for tiles"),
    counter("denied", "uses without permission: SIGILL"),
    counter("failed_allocations", "uses for which there was no memory: SIGSEGV, or an error of KVM's"),
    counter("repeated", "#NM of threads that had their buffer: anything but 0 is a bug of xfd's"),
    counter("ordinary_nm", "#NM that XFD had nothing to do with, passed on"),
    now("pooled", "buffers kept for the next first use"),
    now("in_flight", "tasks in the module's code"),
    now("owed", "threads whose buffer is taken at present"),
];

/// The file, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// In its order, without the time.
    numbers: Vec<(String, i64)>,
    since_ms: u64,
}

impl Counters {
    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// A line is not a name and a number.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut counters = Self { numbers: Vec::new(), since_ms: 0 };
        for (number, line) in text.lines().enumerate() {
            let strange = || format!("line {}: {line:?}", number + 1);
            let (name, value) = line.split_once(' ').with_context(strange)?;
            if name == SINCE {
                counters.since_ms = value.parse().with_context(strange)?;
            } else {
                counters.numbers.push((name.to_owned(), value.parse().with_context(strange)?));
            }
        }
        Ok(counters)
    }

    /// When the module took over, after the kernel's start; `None` if the kernel's own code is in charge.
    pub fn in_charge_since(&self) -> Option<Duration> {
        (self.since_ms > 0).then(|| Duration::from_millis(self.since_ms))
    }

    /// The number called so; 0 if there is none.
    pub fn get(&self, name: &str) -> i64 {
        self.numbers.iter().find(|(of, _)| of == name).map_or(0, |(_, value)| *value)
    }

    /// All, in the file's order, with what they mean.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64, Kind, &'static str)> {
        self.numbers.iter().map(|(name, value)| {
            let known = KNOWN.iter().find(|known| known.name == name);
            let (kind, meaning) = known.map_or((Kind::Unknown, "not known to this xfdctl"), |k| (k.kind, k.meaning));
            (name.as_str(), *value, kind, meaning)
        })
    }

    /// Whether `later` goes on from here, and is not of a module that was loaded anew.
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
    fn what_is_not_known_is_kept() {
        let counters = Counters::parse("first_uses 3\nin_charge_since_ms 1500\nnews 7\npooled 2\n").unwrap();
        let seen: Vec<_> = counters.iter().map(|(name, value, kind, _)| (name, value, kind)).collect();
        assert_eq!(seen, [("first_uses", 3, Kind::Counter), ("news", 7, Kind::Unknown), ("pooled", 2, Kind::Now)]);
        assert_eq!(counters.in_charge_since(), Some(Duration::from_millis(1500)));
        assert_eq!(Counters::parse("in_charge_since_ms 0\n").unwrap().in_charge_since(), None);
        assert_eq!((counters.get("news"), counters.get("denied")), (7, 0));
    }

    #[test]
    fn a_module_loaded_anew_does_not_go_on() {
        let parse = |text: &str| Counters::parse(text).unwrap();
        let before = parse("first_uses 3\npooled 2\nin_charge_since_ms 9\n");
        assert!(before.goes_on_in(&parse("first_uses 4\npooled 0\nin_charge_since_ms 9\n")));
        assert!(!before.goes_on_in(&parse("first_uses 2\npooled 0\nin_charge_since_ms 9\n")));
        assert!(!before.goes_on_in(&parse("first_uses 4\npooled 0\nin_charge_since_ms 10\n")));
    }

    #[test]
    fn a_strange_line_is_named() {
        for text in ["first_uses 1\nnothing\n", "a 1\nb x\n", "a 1\nb 1 2\n", "a 1\nin_charge_since_ms -1\n"] {
            let error = format!("{:#}", Counters::parse(text).unwrap_err());
            assert!(error.starts_with("line 2: "), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*|([a-z_]{0,8} ?-?[0-9]{0,25}\n){0,9}") {
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
