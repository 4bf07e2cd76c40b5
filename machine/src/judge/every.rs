// SPDX-License-Identifier: GPL-2.0
//! Collects the results of the programs that disturb each path (Documentation/every-instruction.rst) into one table.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::judge::trial::Trial;
use crate::workshop::cache::Cache;

const COLUMNS: [&str; 7] = ["path", "by", "instructions", "tried", "held", "late", "missed"];

/// A path, a disturbance, and the numbers of the other columns.
type Row = [String; COLUMNS.len()];

/// `# PATH by DISTURBANCE: instructions 561, tried 561, held 561, late 0, missed 0`
fn row(line: &str) -> Option<Row> {
    let (pair, numbers) = line.strip_prefix("# ")?.split_once(": ")?;
    let (path, by) = pair.split_once(" by ")?;
    let mut row = Row::default();
    row[0] = path.to_owned();
    row[1] = by.to_owned();
    let mut numbers = numbers.split(", ");
    for (column, place) in COLUMNS.iter().zip(&mut row).skip(2) {
        let number = numbers.next()?.strip_prefix(column)?.strip_prefix(' ')?;
        *place = number.parse::<u64>().ok()?.to_string();
    }
    numbers.next().is_none().then_some(row)
}

fn rows(output: &[u8]) -> Vec<Row> {
    String::from_utf8_lossy(output).lines().filter_map(row).collect()
}

/// Prints the results in the trials' output, sorted by path, and writes them to a CSV file, whose path is returned;
/// `None` if there are no results.
///
/// # Errors
///
/// The file cannot be written.
pub fn report(cache: &Cache, trials: &[Trial]) -> Result<Option<PathBuf>> {
    let outputs = trials.iter().flat_map(|trial| trial.tests.values());
    let mut rows: Vec<Row> = outputs.flat_map(|(output, _)| rows(output)).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    rows.sort();
    let mut text = COLUMNS.join(",") + "\n";
    println!();
    for row in [COLUMNS.map(str::to_owned)].iter().chain(&rows) {
        let [path, by, numbers @ ..] = row;
        let numbers: String = numbers.iter().map(|number| format!(" {number:>12}")).collect();
        println!("{path:<26} {by:<11}{numbers}");
    }
    for row in &rows {
        writeln!(text, "{}", row.join(","))?;
    }
    let file = cache.log("every").with_extension("csv");
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read() {
        let said = "# seed 7\n# first_use by nmi: instructions 561, tried 560, held 559, late 3, missed 1\nok 1 f\n";
        assert_eq!(rows(said.as_bytes()), [["first_use", "nmi", "561", "560", "559", "3", "1"].map(str::to_owned)]);
    }

    #[test]
    fn other_lines_are_not_rows() {
        for line in [
            "# first_use by nmi: instruction 311, xfd_first_use+0x1c2: it ended with Signal(11)",
            "# first_use by nmi: instructions 561, tried 560, held 559, late 3",
            "# first_use by nmi: instructions 561, tried 560, held 559, late 3, missed 1, more 2",
            "# first_use by nmi: instructions 561, tried x, held 559, late 3, missed 1",
            "first_use by nmi: instructions 561, tried 560, held 559, late 3, missed 1",
        ] {
            assert_eq!(row(line), None, "{line}");
        }
    }
}
