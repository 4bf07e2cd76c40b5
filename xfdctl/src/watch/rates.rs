// SPDX-License-Identifier: GPL-2.0
//! The rates at which counters increase.

use super::snapshot::Snapshot;
use crate::module::counters::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
/// Per-second rate of each counter between two snapshots. A single snapshot has no rates: counters count from when the
/// module was loaded, and `in_charge_since_ms` may be later, if it was enabled again.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rates {
    /// The time between the snapshots; 0 if there are no rates.
    pub seconds: f64,
    /// Whether there are rates.
    pub of_interval: bool,
    /// By name, for counters only.
    pub per_second: BTreeMap<String, f64>,
}

impl Rates {
    /// The rates between `before` and `now`, unless the module was loaded or enabled again in between.
    pub fn new(before: Option<&Snapshot>, now: &Snapshot) -> Self {
        let Some(before) = before.filter(|before| before.counters.goes_on_in(&now.counters)) else {
            return Self::default();
        };
        let time = now.taken - before.taken;
        if time.is_zero() {
            return Self::default();
        }
        let seconds = time.as_secs_f64();
        let counters = now.counters.iter().filter(|(_, _, kind, _)| *kind == Kind::Counter);
        #[expect(clippy::cast_precision_loss, reason = "the last digits of such a large counter do not matter")]
        let rate = |(name, value, ..): (&str, i64, Kind, _)| {
            (name.to_owned(), value.saturating_sub(before.counters.get(name)) as f64 / seconds)
        };
        Self { seconds, of_interval: true, per_second: counters.map(rate).collect() }
    }

    /// The rate of a counter, if there is one.
    pub fn text(&self, name: &str) -> Option<String> {
        self.per_second.get(name).map(|rate| match rate {
            0.0 => "0".to_owned(),
            rate if *rate < 0.01 => "<0.01".to_owned(),
            rate if *rate < 100.0 => format!("{rate:.2}"),
            rate => format!("{rate:.0}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::counters::Counters;
    use std::time::{Duration, Instant};

    fn snapshot(taken: Instant, uptime: u64, counters: &str) -> Snapshot {
        let counters = Counters::parse(counters).unwrap();
        Snapshot { taken, uptime: Duration::from_secs(uptime), counters, threads: vec![] }
    }

    #[test]
    fn two_snapshots_have_rates() {
        let begin = Instant::now();
        let first = snapshot(begin, 110, "first_uses 50\npooled 4\nin_charge_since_ms 10000\n");
        let rates = Rates::new(None, &first);
        assert_eq!((rates.of_interval, rates.text("first_uses")), (false, None));
        let second =
            snapshot(begin + Duration::from_secs(2), 112, "first_uses 850\nnews 3\nin_charge_since_ms 10000\n");
        let rates = Rates::new(Some(&first), &second);
        assert!(rates.of_interval);
        assert_eq!((rates.text("first_uses").as_deref(), rates.text("news")), (Some("400"), None));
        // Loaded again.
        let third = snapshot(begin + Duration::from_secs(4), 114, "first_uses 1\nin_charge_since_ms 113000\n");
        assert_eq!(Rates::new(Some(&second), &third).text("first_uses"), None);
    }

    #[test]
    fn enabled_again_it_has_the_same_counters() {
        let begin = Instant::now();
        let snapshot =
            |seconds, counters: &str| snapshot(begin + Duration::from_secs(seconds), 1000 + seconds, counters);
        let first = snapshot(0, "first_uses 5000\nin_charge_since_ms 999000\n");
        assert_eq!(Rates::new(None, &first).text("first_uses"), None);
        let second = snapshot(2, "first_uses 5004\nin_charge_since_ms 999000\n");
        assert_eq!(Rates::new(Some(&first), &second).text("first_uses").as_deref(), Some("2.00"));
    }

    #[test]
    fn small_and_large_rates() {
        let rates = |value| Rates { per_second: [("a".to_owned(), value)].into(), ..Rates::default() };
        assert_eq!(rates(0.0).text("a").unwrap(), "0");
        assert_eq!(rates(0.0001).text("a").unwrap(), "<0.01");
        assert_eq!(rates(1234.5).text("a").unwrap(), "1234");
    }
}
