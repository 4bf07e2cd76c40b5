// SPDX-License-Identifier: GPL-2.0
//! The three columns side by side: the stock kernel, the module, the host's own processor.

use std::collections::BTreeSet;

use crate::divergences::Named;
use crate::ktap::Count;
use crate::rows::{self, Rows};

/// The rows of one program in each column.
pub struct Program<'a> {
    pub name: &'a str,
    pub stock: Rows,
    pub module: Rows,
    /// None: it did not run there.
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

/// What a line says about the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    Equal,
    /// Differs as said under this heading of divergences.rst.
    Documented(String),
    /// The host runs a kernel of another series, and differs.
    OtherKernel,
    /// Fails, and why.
    Wrong(String),
}

/// The compared table.
#[derive(Debug, Default)]
pub struct Table {
    pub lines: Vec<Line>,
    /// Whether there is a third column.
    pub host: bool,
}

impl Table {
    /// Compares the programs. `same_kernel`: the host's kernel is of the series that the machine boots, and must
    /// answer the same.
    pub fn compare(programs: &[Program], named: &Named, same_kernel: bool) -> Table {
        let mut table = Table { host: programs.iter().any(|p| p.host.is_some()), ..Table::default() };
        for program in programs {
            for name in names(program) {
                let value = |rows: &Rows| rows.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
                let values = [value(&program.stock), value(&program.module), program.host.as_ref().and_then(value)];
                let name = format!("{}: {name}", program.name);
                let judgement = judge(&name, &values, named, program.host.is_some(), same_kernel);
                table.lines.push(Line { name, values, judgement });
            }
        }
        let there: BTreeSet<_> = table.lines.iter().map(|line| line.name.as_str()).collect();
        let gone: Vec<_> = named.all().filter(|row| !there.contains(row)).map(str::to_owned).collect();
        for name in gone {
            let why = "named in Documentation/divergences.rst, but no program prints it".to_owned();
            table.lines.push(Line { name, values: [None, None, None], judgement: Judgement::Wrong(why) });
        }
        table
    }

    /// One line: how many rows agree.
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

    /// One test if all is well, else one failure for each wrong row.
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
    /// The values, `-` for none.
    pub fn shown(&self) -> [&str; 3] {
        self.values.each_ref().map(|value| value.as_deref().unwrap_or("-"))
    }
}

/// The names of a program's rows: in the order of the stock kernel's output, then what only others have.
fn names<'a>(program: &'a Program) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let rows = program.stock.iter().chain(&program.module).chain(program.host.iter().flatten());
    rows.map(|(name, _)| name.as_str()).filter(|name| seen.insert(*name)).collect()
}

fn judge(name: &str, values: &[Option<String>; 3], named: &Named, ran: bool, same_kernel: bool) -> Judgement {
    let wrong = |why: &str| Judgement::Wrong(why.to_owned());
    let [stock, module, host] = values;
    let (Some(stock), Some(module)) = (stock, module) else {
        return wrong(match (stock, module) {
            (Some(_), None) => "missing with the module",
            (None, Some(_)) => "missing on the stock kernel",
            _ => "only on the host's own processor",
        });
    };
    let judgement = match (named.heading(name), stock == module) {
        (Some(_), true) => return wrong("no longer differs, though Documentation/divergences.rst names it"),
        (Some(heading), false) => Judgement::Documented(heading.to_owned()),
        (None, true) => Judgement::Equal,
        (None, false) => return wrong("the module differs, and Documentation/divergences.rst does not say so"),
    };
    let agrees = match host {
        None => !ran,
        Some(host) => host == rows::SKIP || host == stock || host == module || named.by_processor(name),
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
