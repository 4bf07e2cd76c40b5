// SPDX-License-Identifier: GPL-2.0
//! The lines that the runner reads.
//!
//! ```text
//! bench ROW PATH UNIT VALUE[xTIMES]...    what was measured, sorted by value
//! bench ROW PATH skip WHY
//! ```
//!
//! PATH is `stock` or `module`: which code handles first uses. The lines are held back until the end,
//! because output on the serial port disturbs the measurement.

use super::clock::{Clock, Values};
use std::fmt::{Display, Write};
use std::fs;
use std::sync::{Mutex, PoisonError};

static LINES: Mutex<String> = Mutex::new(String::new());

fn keep(line: &str) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.push_str(line);
    lines.push('\n');
}

/// Prints everything reported.
pub fn print() {
    print!("{}", LINES.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Which code currently handles first uses.
#[must_use]
pub fn path() -> &'static str {
    let is =
        |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    if is("/sys/kernel/livepatch/xfd/enabled", "1") {
        "module"
    } else if is("/sys/module/xfd/parameters/enable", "Y") {
        "builtin"
    } else {
        "stock"
    }
}

/// Reports one unit of a row.
pub fn values(row: &str, unit: &str, values: &[u64]) {
    values_of(path(), row, unit, values);
}

/// The same for a path other than the current one.
pub fn values_of(path: &str, row: &str, unit: &str, values: &[u64]) {
    keep(&format!("bench {row} {path} {unit}{}", run_lengths(values)));
}

/// Reports why a row is not measured.
pub fn skip(row: &str, why: impl Display) {
    keep(&format!("bench {row} {} skip {why}", path()));
}

/// Reports all units of a row. If at least half the spans had no interrupt, the others are left
/// out.
pub fn spans(row: &str, clock: &Clock, all: &[Values]) {
    spans_of(path(), row, clock, all);
}

/// The same for a path other than the current one.
pub fn spans_of(path: &str, row: &str, clock: &Clock, all: &[Values]) {
    let quiet: Vec<_> = all.iter().filter(|v| !clock.disturbed(v)).collect();
    let chosen = if 2 * quiet.len() < all.len() {
        all.iter().collect()
    } else {
        quiet
    };
    for (number, unit) in clock.units().iter().enumerate() {
        let of_unit: Vec<u64> = chosen.iter().map(|values| values[number]).collect();
        values_of(path, row, unit, &of_unit);
    }
}

fn run_lengths(values: &[u64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let mut text = String::new();
    for run in sorted.chunk_by(|a, b| a == b) {
        let _ = match run.len() {
            1 => write!(text, " {}", run[0]),
            times => write!(text, " {}x{times}", run[0]),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sorted_and_counted() {
        assert_eq!(run_lengths(&[7, 3, 7, 7, 10]), " 3 7x3 10");
        assert_eq!(run_lengths(&[]), "");
    }
}
