// SPDX-License-Identifier: GPL-2.0
//! Parses the lines that `amx_bench` prints, and combines their samples:
//!
//! ```text
//! bench ROW PATH UNIT VALUE[xTIMES]...
//! bench ROW PATH skip WHY
//! ```

use std::collections::BTreeMap;

use anyhow::{bail, Context, Result};

/// Who handled the first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    Stock,
    Module,
    /// The same code, built into the kernel.
    Builtin,
}

/// All samples of one row, one path and one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// Value -> how often.
    values: BTreeMap<u64, usize>,
}

impl Samples {
    /// The number of samples.
    pub fn count(&self) -> usize {
        self.values.values().sum()
    }

    /// The value that `percent` percent of the samples do not exceed (nearest rank). There is at least one sample.
    pub fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (&value, &times) in &self.values {
            seen += times;
            if seen >= rank {
                return value;
            }
        }
        0
    }

    /// The median.
    pub fn median(&self) -> u64 {
        self.percentile(50)
    }

    fn add(&mut self, words: &str) -> Result<()> {
        for word in words.split_whitespace() {
            let (value, times) = word.split_once('x').unwrap_or((word, "1"));
            let wrong = || format!("{word:?} is not a value");
            let times: usize = times.parse().with_context(wrong)?;
            *self.values.entry(value.parse().with_context(wrong)?).or_default() += times;
        }
        Ok(())
    }
}

/// What was measured on one path of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Unit -> samples.
    pub samples: BTreeMap<String, Samples>,
    pub skipped: Option<String>,
}

impl Side {
    /// The samples of `unit`, if there are any.
    pub fn unit(&self, unit: &str) -> Option<&Samples> {
        self.samples.get(unit).filter(|samples| samples.count() > 0)
    }
}

/// A row: what is measured, on either path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    /// Path -> what was measured.
    pub sides: BTreeMap<Path, Side>,
}

impl Row {
    /// The samples of `unit` on one path.
    pub fn samples(&self, path: Path, unit: &str) -> Option<&Samples> {
        self.sides.get(&path)?.unit(unit)
    }

    /// The path that is compared with C.
    pub fn ours(&self) -> Path {
        if self.sides.contains_key(&Path::Builtin) {
            Path::Builtin
        } else {
            Path::Module
        }
    }

    /// Ours / C, of the medians; `None` if one of them is missing, or C's is 0.
    pub fn ratio(&self, unit: &str) -> Option<f64> {
        let [stock, ours] = [Path::Stock, self.ours()].map(|path| self.samples(path, unit).map(Samples::median));
        match (stock?, ours?) {
            (0, _) => None,
            (stock, ours) => Some(ours as f64 / stock as f64),
        }
    }
}

/// All rows, in the order of their first lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    pub rows: Vec<Row>,
}

impl Measured {
    /// Parses a program's output; lines that do not begin with `bench` are ignored.
    ///
    /// # Errors
    ///
    /// A `bench` line cannot be parsed, or there is none.
    pub fn read(output: &str) -> Result<Measured> {
        let mut measured = Measured::default();
        for line in output.lines() {
            if let Some(rest) = line.trim_end().strip_prefix("bench ") {
                measured.add(rest).with_context(|| format!("cannot parse {line:?}"))?;
            }
        }
        if measured.rows.is_empty() {
            bail!("nothing was measured");
        }
        Ok(measured)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let (name, rest) = line.split_once(' ').context("no path")?;
        let (path, rest) = rest.split_once(' ').context("no unit")?;
        let (unit, values) = rest.split_once(' ').context("no value")?;
        let path = match path {
            "stock" => Path::Stock,
            "module" => Path::Module,
            "builtin" => Path::Builtin,
            other => bail!("{other:?} is not a path"),
        };
        let side = self.row(name).sides.entry(path).or_default();
        if unit == "skip" {
            side.skipped = Some(values.to_owned());
            return Ok(());
        }
        side.samples.entry(unit.to_owned()).or_default().add(values)
    }

    /// The path that is compared with C.
    pub fn ours(&self) -> Path {
        let builtin = self.rows.iter().any(|row| row.ours() == Path::Builtin);
        if builtin {
            Path::Builtin
        } else {
            Path::Module
        }
    }

    fn row(&mut self, name: &str) -> &mut Row {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name: name.to_owned(), ..Row::default() });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "noise\nbench a stock instructions 10 20x3 70\r\nbench b module skip no such file\n\
                          bench a module instructions 5x2\nbench a stock instructions 20 21x4\n\
                          bench a stock nm 0x2\nbench a module nm 1\n";

    #[test]
    fn rounds_are_combined_in_order() {
        let measured = Measured::read(OUTPUT).unwrap();
        let names: Vec<_> = measured.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let stock = measured.rows[0].samples(Path::Stock, "instructions").unwrap();
        assert_eq!((stock.count(), stock.median(), stock.percentile(10), stock.percentile(90)), (10, 20, 10, 21));
        assert_eq!((stock.percentile(0), stock.percentile(100)), (10, 70));
        assert_eq!(measured.rows[1].sides[&Path::Module].skipped.as_deref(), Some("no such file"));
        assert!(measured.rows[1].samples(Path::Stock, "instructions").is_none());
    }

    #[test]
    fn a_ratio_needs_both_sides_and_a_nonzero_c() {
        let measured = Measured::read(OUTPUT).unwrap();
        assert_eq!(measured.rows[0].ratio("instructions"), Some(0.25));
        assert_eq!(measured.rows[0].ratio("nm"), None);
        assert_eq!(measured.rows[1].ratio("instructions"), None);
    }

    #[test]
    fn what_is_built_in_is_compared_with_c() {
        let measured = Measured::read("bench a stock instructions 10\nbench a builtin instructions 2\n").unwrap();
        assert_eq!((measured.ours(), measured.rows[0].ratio("instructions")), (Path::Builtin, Some(0.2)));
        assert_eq!(Measured::read(OUTPUT).unwrap().ours(), Path::Module);
    }

    #[test]
    fn malformed_lines_are_reported() {
        for wrong in ["bench a", "bench a stock", "bench a other u 1", "bench a stock u x3", "bench a stock u 1x"] {
            let error = Measured::read(wrong).unwrap_err();
            assert!(format!("{error:#}").contains(wrong), "{error:#}");
        }
        assert!(Measured::read("ready\n").is_err());
    }
}
