// SPDX-License-Identifier: GPL-2.0
//! Formats the measurements as reStructuredText tables and as CSV.

use crate::bench::rows::{Measured, Path, Row, Samples};

/// The main units, in the order of their tables.
const COUNTS: [&str; 2] = ["instructions", "cycles"];
/// The columns of the table of bytes: heading and units.
const BYTES: [(&str, &[&str]); 3] = [
    ("cleared", &["bytes_stored"]),
    ("copied", &["bytes_copied"]),
    ("saved + restored", &["bytes_saved", "bytes_restored"]),
];
/// The columns of the table of exceptions and MSR accesses: heading and units.
const EXITS: [(&str, &[&str]); 5] = [
    ("#NM", &["nm"]),
    ("read XFD", &["rdmsr_xfd"]),
    ("write XFD", &["wrmsr_xfd"]),
    ("read XFD_ERR", &["rdmsr_xfd_err"]),
    ("write XFD_ERR", &["wrmsr_xfd_err"]),
];

/// The tables of one boot.
pub fn text(title: &str, measured: &Measured) -> String {
    let mut text = format!("{title}\n{}\n\n", "-".repeat(title.chars().count()));
    let mut part = |what: String, table: Option<String>| {
        if let Some(table) = table {
            text.push_str(&format!("{what}:\n\n{table}\n"));
        }
    };
    for unit in COUNTS {
        part(format!("{}, median (p10 to p90)", capital(unit)), spread_table(measured, unit));
    }
    let bytes = pair_table(measured, &BYTES);
    let ours = measured.ours().heading();
    part(format!("Bytes, C / {ours}, medians"), bytes);
    let exits = pair_table(measured, &EXITS);
    part(format!("Exceptions and accesses to MSRs, C / {ours}, medians"), exits);
    for (unit, what) in [
        ("vmalloc_bytes", "Pages of vmalloc areas, bytes"),
        ("taken_bytes", "Pages that are not free any more, bytes"),
        ("nanoseconds", "Nanoseconds of the machine's clock, median (p10 to p90)"),
        ("file_bytes", "File, bytes"),
        ("memory_bytes", "In the kernel, bytes"),
    ] {
        part(what.into(), spread_table(measured, unit));
    }
    for row in &measured.rows {
        for (path, side) in &row.sides {
            if let Some(why) = &side.skipped {
                text.push_str(&format!("Not measured: ``{}``, {}: {why}\n\n", row.name, path.heading()));
            }
        }
    }
    text
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

fn spread_table(measured: &Measured, unit: &str) -> Option<String> {
    let paths = [Path::Stock, measured.ours()];
    let ours = measured.ours().heading();
    let has = |row: &&Row| paths.iter().any(|path| row.samples(*path, unit).is_some());
    let mut cells = vec![["row", "C", "", ours, "", format!("{ours} / C").as_str()].map(str::to_owned).to_vec()];
    for row in measured.rows.iter().filter(has) {
        let mut line = vec![format!("``{}``", row.name)];
        for path in paths {
            line.extend(spread(row.samples(path, unit)));
        }
        line.push(row.ratio(unit).map_or("-".into(), |ratio| format!("{ratio:.2}")));
        cells.push(line);
    }
    (cells.len() > 1).then(|| simple_table(&cells))
}

/// The median, and the range from p10 to p90 if these differ.
fn spread(samples: Option<&Samples>) -> [String; 2] {
    let Some(samples) = samples else { return ["-".into(), "\\".into()] };
    let (low, high) = (samples.percentile(10), samples.percentile(90));
    let around = if low == high { "\\".into() } else { format!("({low} to {high})") };
    [samples.median().to_string(), around]
}

/// A table with a column for each kind, whose units are added up; rows in which everything is 0 are left out.
fn pair_table(measured: &Measured, kinds: &[(&str, &[&str])]) -> Option<String> {
    let mut cells = vec![vec!["row".to_owned()]];
    cells[0].extend(kinds.iter().map(|(heading, _)| (*heading).to_owned()));
    for row in &measured.rows {
        let sum = |path, units: &[&str]| -> Option<u64> {
            units.iter().map(|unit| row.samples(path, unit).map(Samples::median)).sum()
        };
        let pairs: Vec<_> =
            kinds.iter().map(|(_, units)| [Path::Stock, measured.ours()].map(|p| sum(p, units))).collect();
        if pairs.iter().flatten().all(|sum| sum.unwrap_or(0) == 0) {
            continue;
        }
        let mut line = vec![format!("``{}``", row.name)];
        let shown = |sum: &Option<u64>| sum.map_or("-".into(), |sum| sum.to_string());
        line.extend(pairs.iter().map(|[stock, ours]| format!("{} / {}", shown(stock), shown(ours))));
        cells.push(line);
    }
    (cells.len() > 1).then(|| simple_table(&cells))
}

/// A simple table of reStructuredText; the first line is the heading.
pub fn simple_table(cells: &[Vec<String>]) -> String {
    let columns = cells[0].len();
    let width = |i: usize| cells.iter().map(|line| line[i].chars().count()).max().unwrap_or(0).max(2);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let rule = widths.iter().map(|&width| "=".repeat(width)).collect::<Vec<_>>().join("  ");
    let line = |cells: &Vec<String>| {
        let padded: Vec<_> = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut text = format!("{rule}\n{}\n{rule}\n", line(&cells[0]));
    for cells in &cells[1..] {
        text.push_str(&line(cells));
        text.push('\n');
    }
    text + &rule + "\n"
}

/// One line for each row, path and unit.
pub fn csv(all: &[(String, Measured)]) -> String {
    let mut text = "part,row,path,unit,samples,min,p10,median,p90,max\n".to_owned();
    for (title, measured) in all {
        for row in &measured.rows {
            for (path, side) in &row.sides {
                for (unit, samples) in &side.samples {
                    let values: Vec<_> = [0, 10, 50, 90, 100].map(|p| samples.percentile(p).to_string()).into();
                    let line =
                        [title, &row.name, path.heading(), unit, &samples.count().to_string(), &values.join(",")];
                    text.push_str(&line.join(","));
                    text.push('\n');
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measured {
        Measured::read(
            "bench first stock instructions 90 100x8 120\nbench first module instructions 25x9\n\
             bench first stock bytes_stored 200x2\nbench first module bytes_stored 8\n\
             bench first stock nm 1\nbench first module nm 1\nbench idle stock nm 0\n\
             bench gone module skip it has none\n",
        )
        .unwrap()
    }

    #[test]
    fn a_row_has_medians_spreads_and_the_ratio() {
        let text = text("One CPU", &measured());
        assert!(text.starts_with("One CPU\n-------\n\nInstructions, median (p10 to p90):\n\n"), "{text}");
        assert!(text.contains("``first``  100  (90 to 100)  25      \\   0.25\n"), "{text}");
        assert!(text.contains("``first``  200 / 8  - / -   - / -\n"), "{text}");
        assert!(text.contains("``first``  1 / 1"), "{text}");
        assert!(!text.contains("idle"), "{text}");
        assert!(text.contains("Not measured: ``gone``, module: it has none\n"), "{text}");
    }

    #[test]
    fn csv_has_a_line_for_each_unit() {
        let csv = csv(&[("One CPU".into(), measured())]);
        assert!(csv.contains("\nOne CPU,first,C,instructions,10,90,90,100,100,120\n"), "{csv}");
        assert_eq!(csv.lines().count(), 1 + 7);
    }
}
