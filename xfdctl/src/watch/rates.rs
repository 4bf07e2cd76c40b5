// SPDX-License-Identifier: GPL-2.0
//! How fast counters grow.

use super::snapshot::Snapshot;
use crate::module::counters::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Growth in one second of each counter, by name.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rates {
    /// The seconds that they are of; 0 if there are none.
    pub seconds: f64,
    /// Of an interval; of all the time since the module took over otherwise.
    pub of_interval: bool,
    /// By name; none of what is no counter.
    pub per_second: BTreeMap<String, f64>,
}

impl Rates {
    /// Those from `before`, if it is of the same module, to `now`; else since that took over.
    pub fn new(before: Option<&Snapshot>, now: &Snapshot) -> Self {
        match before.filter(|before| before.counters.goes_on_in(&now.counters)) {
            Some(before) => Self::of(now.taken - before.taken, now, true, |name| before.counters.get(name)),
            None => Self::of(now.in_charge_for().unwrap_or_default(), now, false, |_| 0),
        }
    }

    fn of(time: Duration, now: &Snapshot, of_interval: bool, before: impl Fn(&str) -> i64) -> Self {
        if time.is_zero() {
            return Self::default();
        }
        let seconds = time.as_secs_f64();
        let counters = now.counters.iter().filter(|(_, _, kind, _)| *kind == Kind::Counter);
        // No counter gets so large that its last digits matter here.
        #[allow(clippy::cast_precision_loss)]
        let rate = |(name, value, ..): (&str, i64, Kind, _)| {
            (name.to_owned(), value.saturating_sub(before(name)) as f64 / seconds)
        };
        Self { seconds, of_interval, per_second: counters.map(rate).collect() }
    }

    /// That of a counter; nothing if it is none, or there are no rates.
    pub fn text(&self, name: &str) -> Option<String> {
        self.per_second.get(name).map(|rate| match rate {
            0.0 => "0".to_owned(),
            rate if *rate < 0.01 => "<0.01".to_owned(),
            rate if *rate < 100.0 => format!("{rate:.2}"),
            rate => format!("{rate:.0}"),
        })
    }

    /// What they are of.
    pub fn what(&self) -> &'static str {
        match (self.seconds > 0.0, self.of_interval) {
            (false, _) => "no rates yet",
            (true, true) => "rates are of this interval",
            (true, false) => "rates are since it took charge",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::counters::Counters;
    use std::time::Instant;

    fn snapshot(taken: Instant, uptime: u64, counters: &str) -> Snapshot {
        let counters = Counters::parse(counters).unwrap();
        Snapshot { taken, uptime: Duration::from_secs(uptime), counters, threads: vec![] }
    }

    #[test]
    fn of_an_interval_and_since_it_took_charge() {
        let begin = Instant::now();
        let first = snapshot(begin, 110, "first_uses 50\npooled 4\nin_charge_since_ms 10000\n");
        let rates = Rates::new(None, &first);
        assert_eq!((rates.text("first_uses").as_deref(), rates.text("pooled")), (Some("0.50"), None));
        assert_eq!(rates.what(), "rates are since it took charge");
        let second =
            snapshot(begin + Duration::from_secs(2), 112, "first_uses 850\nnews 3\nin_charge_since_ms 10000\n");
        let rates = Rates::new(Some(&first), &second);
        assert_eq!((rates.text("first_uses").as_deref(), rates.text("news")), (Some("400"), None));
        assert_eq!(rates.what(), "rates are of this interval");
        // Loaded anew.
        let third = snapshot(begin + Duration::from_secs(4), 114, "first_uses 1\nin_charge_since_ms 113000\n");
        assert_eq!(Rates::new(Some(&second), &third).text("first_uses").as_deref(), Some("1.00"));
        let not_in_charge = snapshot(begin, 114, "first_uses 1\nin_charge_since_ms 0\n");
        assert_eq!(Rates::new(None, &not_in_charge).what(), "no rates yet");
    }

    #[test]
    fn small_and_large_ones() {
        let rates = |value| Rates { per_second: [("a".to_owned(), value)].into(), ..Rates::default() };
        assert_eq!(rates(0.0).text("a").unwrap(), "0");
        assert_eq!(rates(0.0001).text("a").unwrap(), "<0.01");
        assert_eq!(rates(1234.5).text("a").unwrap(), "1234");
    }
}
