// SPDX-License-Identifier: GPL-2.0
//! Compares the answers in three columns: the stock kernel, the module, and the host's own processor.

use std::collections::BTreeSet;

use crate::judge::divergences::Named;
use crate::judge::rows::{self, Rows};
use crate::workshop::count::Count;

/// The program and its row that has the mask of components supported by processor and kernel.
const SUPPORTED: (&str, &str) = ("xcomp_perm", "supported");

/// Which answers the second column has, and which page names the rows that differ from the stock kernel's, in words for
/// messages.
#[derive(Clone, Copy)]
pub struct Second {
    pub who: &'static str,
    pub page: &'static str,
}

/// The module.
pub const MODULE: Second = Second { who: "the module", page: "Documentation/divergences.rst" };

/// The rows of one program in each column.
pub struct Program<'a> {
    pub name: &'a str,
    pub stock: Rows,
    pub module: Rows,
    /// `None` if it did not run there.
    pub host: Option<Rows>,
}

/// A line of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// `PROGRAM: NAME`
    pub name: String,
    /// Stock, module, host.
    pub values: [Option<String>; 3],
    pub judgement: Judgement,
}

/// The verdict on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    Equal,
    /// Differs as documented under this heading of divergences.rst.
    Documented(String),
    /// The host's value differs, and the host runs a kernel of another series.
    OtherKernel,
    /// A failure, with the reason.
    Wrong(String),
}

/// The table of compared answers.
#[derive(Debug, Default)]
pub struct Table {
    pub lines: Vec<Line>,
    /// Whether there is a third column.
    pub host: bool,
}

impl Table {
    /// Compares the programs. `same_kernel` says that the host's kernel is of the series that the machine boots, so
    /// that its answers must be the same.
    pub fn compare(programs: &[Program], second: Second, named: &Named, same_kernel: bool) -> Table {
        let mut table = Table { host: programs.iter().any(|p| p.host.is_some()), ..Table::default() };
        let unequal = unequal_components(programs);
        for program in programs {
            for name in names(program) {
                let value = |rows: &Rows| rows.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
                let values = [value(&program.stock), value(&program.module), program.host.as_ref().and_then(value)];
                let name = format!("{}: {name}", program.name);
                let unequal = program.host.as_ref().map(|_| unequal);
                let judgement = judge(&name, &values, second, named, unequal, same_kernel);
                table.lines.push(Line { name, values, judgement });
            }
        }
        let there: BTreeSet<_> = table.lines.iter().map(|line| line.name.as_str()).collect();
        let gone: Vec<_> = named.all().filter(|row| !there.contains(row)).map(str::to_owned).collect();
        for name in gone {
            let why = format!("named in {}, but no program prints it", second.page);
            table.lines.push(Line { name, values: [None, None, None], judgement: Judgement::Wrong(why) });
        }
        table
    }

    /// How many rows agree, in one line.
    pub fn summary(&self) -> String {
        let mut counts = [0; 4];
        for line in &self.lines {
            counts[match line.judgement {
                Judgement::Equal => 0,
                Judgement::Documented(_) => 1,
                Judgement::OtherKernel => 2,
                Judgement::Wrong(_) => 3,
            }] += 1;
        }
        let [equal, documented, other, wrong] = counts;
        let mut text = format!("{equal} rows equal, {documented} differ as documented");
        if other > 0 {
            text.push_str(&format!(", {other} differ on this host's other kernel"));
        }
        if wrong > 0 {
            text.push_str(&format!(", {wrong} WRONG"));
        }
        if !self.host {
            text.push_str("; no AMX on this host: two columns");
        }
        text
    }

    /// How many rows are equal.
    pub fn equal(&self) -> usize {
        self.lines.iter().filter(|line| line.judgement == Judgement::Equal).count()
    }

    /// One pass if no row is wrong, otherwise one failure for each wrong row.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for line in &self.lines {
            if let Judgement::Wrong(why) = &line.judgement {
                count.fail(format!("{}: {why} ({})", line.name, line.shown().join(" | ")));
            }
        }
        if self.lines.is_empty() {
            count.fail("there are no rows");
        } else if count.failed == 0 {
            count.pass();
        }
        count
    }
}

impl Line {
    /// The values; `-` where there is none.
    pub fn shown(&self) -> [&str; 3] {
        self.values.each_ref().map(|value| value.as_deref().unwrap_or("-"))
    }
}

/// The names of a program's rows: in the order of the stock kernel's output, then those that only the others have.
fn names<'a>(program: &'a Program) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let rows = program.stock.iter().chain(&program.module).chain(program.host.iter().flatten());
    rows.map(|(name, _)| name.as_str()).filter(|name| seen.insert(*name)).collect()
}

/// The components that only the machine or only the host has, such as PKRU.
fn unequal_components(programs: &[Program]) -> u64 {
    let mask = |rows: &Rows| {
        let value = rows.iter().find(|(name, _)| name == SUPPORTED.1).map(|(_, value)| value.as_str());
        value.and_then(|value| u64::from_str_radix(value.strip_prefix("0x")?, 16).ok())
    };
    let program = programs.iter().find(|p| p.name == SUPPORTED.0);
    let masks = program.and_then(|p| Some((mask(&p.stock)?, mask(p.host.as_ref()?)?)));
    masks.map_or(0, |(machine, host)| machine ^ host)
}

/// A value with these bits cleared in its hexadecimal numbers.
fn without(bits: u64, value: &str) -> String {
    let word = |word: &str| {
        let number = word.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map_or(word.to_owned(), |number| format!("{:#x}", number & !bits))
    };
    value.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The verdict on a row. `unequal` has the components that only the machine or only the host has; `None` if the program
/// did not run on the host.
fn judge(
    name: &str,
    values: &[Option<String>; 3],
    second: Second,
    named: &Named,
    unequal: Option<u64>,
    same_kernel: bool,
) -> Judgement {
    let wrong = |why: &str| Judgement::Wrong(why.to_owned());
    let Second { who, page } = second;
    let [stock, module, host] = values;
    let (Some(stock), Some(module)) = (stock, module) else {
        return Judgement::Wrong(match (stock, module) {
            (Some(_), None) => format!("missing with {who}"),
            (None, Some(_)) => "missing on the stock kernel".to_owned(),
            _ => "only on this host's processor".to_owned(),
        });
    };
    let judgement = match (named.heading(name), stock == module) {
        (Some(_), true) => return wrong(&format!("no longer differs, though {page} names it")),
        (Some(heading), false) => Judgement::Documented(heading.to_owned()),
        (None, true) => Judgement::Equal,
        (None, false) => return wrong(&format!("{who} differs, and {page} does not say so")),
    };
    let same = |a: &str, b: &str| a == b || unequal.is_some_and(|bits| without(bits, a) == without(bits, b));
    let agrees = match host {
        None => unequal.is_none(),
        Some(host) => host == rows::SKIP || same(host, stock) || same(host, module) || named.by_processor(name),
    };
    match (agrees, same_kernel) {
        (true, _) => judgement,
        (false, false) => Judgement::OtherKernel,
        (false, true) => wrong("this host's processor differs"),
    }
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
