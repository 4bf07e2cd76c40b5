// SPDX-License-Identifier: GPL-2.0
//! Times and durations as people type and read them.

use anyhow::Context;
use jiff::{SpanRelativeTo, SpanRound, Timestamp, ToSpan, Unit};
use std::path::Path;
use std::time::Duration;

/// The shortest accepted interval.
const SHORTEST: Duration = Duration::from_millis(10);
/// The longest accepted interval.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Parses a command-line interval: seconds, with an optional fraction.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let span = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.filter(|span| (SHORTEST..=LONGEST).contains(span))
        .ok_or_else(|| "expected seconds: 0.01 or more, and a year at most".to_owned())
}

/// The time since boot (`CLOCK_BOOTTIME`).
///
/// # Errors
///
/// Fails if `proc/uptime` in `root` cannot be read.
pub fn uptime(root: &Path) -> anyhow::Result<Duration> {
    let path = root.join("proc/uptime");
    let what = || format!("cannot read {}", path.display());
    let text = std::fs::read_to_string(&path).with_context(what)?;
    let seconds: f64 = text.split(' ').next().unwrap_or_default().parse().with_context(what)?;
    Duration::try_from_secs_f64(seconds).with_context(what)
}

/// The time of day this long ago, to the second.
pub fn wall_time(age: Duration) -> Timestamp {
    let then = Timestamp::now().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
    then.round(Unit::Second).unwrap_or(then)
}

/// A duration such as `2d 3h`: the two largest units.
pub fn age(age: Duration) -> String {
    let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX).min(100_000 * 24 * 3600);
    let smallest = match seconds {
        ..3600 => Unit::Second,
        3600..86400 => Unit::Minute,
        _ => Unit::Hour,
    };
    let round = SpanRound::new()
        .largest(Unit::Day)
        .smallest(smallest)
        .mode(jiff::RoundMode::Trunc)
        .relative(SpanRelativeTo::days_are_24_hours());
    seconds.seconds().round(round).map_or_else(|_| format!("{seconds}s"), |span| format!("{span:#}"))
}

/// A duration in the largest unit, in at most six characters.
pub fn short_age(age: Duration) -> String {
    match age.as_secs() {
        0 => format!("{}ms", age.as_millis()),
        seconds @ 1..100 => format!("{seconds}s"),
        seconds @ 100..6000 => format!("{}m", seconds / 60),
        seconds @ 6000..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_parsed() {
        assert_eq!(seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "nan", "inf", "1e300", "0.001", "1s", "", "99999999"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_formatted() {
        let of = |seconds| age(Duration::from_secs(seconds));
        assert_eq!([of(0), of(59), of(3599)], ["0s", "59s", "59m 59s"]);
        assert_eq!([of(3600), of(7385), of(90_000 * 3)], ["1h", "2h 3m", "3d 3h"]);
        assert_eq!(of(u64::MAX), "100000d");
        let short = |ms| short_age(Duration::from_millis(ms));
        assert_eq!([short(0), short(999), short(99_999)], ["0ms", "999ms", "99s"]);
        assert_eq!([short(100_000), short(7_200_000), short(400_000_000)], ["1m", "2h", "4d"]);
    }

    #[test]
    fn an_age_becomes_a_time_of_day() {
        let age = Timestamp::now().duration_since(wall_time(Duration::from_secs(100)));
        assert!((99..=101).contains(&age.as_secs()), "{age}");
        let root = tempfile::tempdir().unwrap();
        assert!(uptime(root.path()).is_err());
        std::fs::create_dir(root.path().join("proc")).unwrap();
        std::fs::write(root.path().join("proc/uptime"), "12.34 5.00\n").unwrap();
        assert_eq!(uptime(root.path()).unwrap(), Duration::from_millis(12340));
    }
}
