// SPDX-License-Identifier: GPL-2.0
//! Reads `Documentation/divergences.rst`: which rows of the table of answers may differ, and the heading under which
//! the reason is given.
//!
//! `:Row: PROGRAM: NAME` names a row that differs between the kernel's own code and the module. `:Processor: PROGRAM:
//! NAME` names a row whose value on silicon depends on the processor.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{bail, Context, Result};

/// The rows that the page names.
#[derive(Debug, Default)]
pub struct Named {
    /// Row -> heading.
    rows: Vec<(String, String)>,
    processor: Vec<String>,
}

impl Named {
    /// The heading that explains why the stock kernel and the module differ in `row`.
    pub fn heading(&self, row: &str) -> Option<&str> {
        self.rows.iter().find(|(name, _)| name == row).map(|(_, heading)| heading.as_str())
    }

    /// Whether the row's value depends on the processor.
    pub fn by_processor(&self, row: &str) -> bool {
        self.processor.iter().any(|name| name == row)
    }

    /// The same without the rows of these programs.
    pub fn without(mut self, programs: &BTreeSet<&str>) -> Named {
        let theirs = |row: &str| row.split_once(": ").is_some_and(|(program, _)| programs.contains(program));
        self.rows.retain(|(row, _)| !theirs(row));
        self.processor.retain(|row| !theirs(row));
        self
    }

    /// The rows of both.
    pub fn and(mut self, other: Named) -> Named {
        self.rows.extend(other.rows);
        self.processor.extend(other.processor);
        self
    }

    /// All rows that are named.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|(name, _)| name).chain(&self.processor).map(String::as_str)
    }
}

/// Reads the page at `path`.
///
/// # Errors
///
/// It cannot be read; a row is named twice, or without a heading and a reason below it.
pub fn read(path: &Path) -> Result<Named> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is not valid", path.display()))
}

fn parse(text: &str) -> Result<Named> {
    let mut named = Named::default();
    // A field may come before or after the text of its section, so the check is made at the end of the section.
    let mut section = Section::default();
    let lines: Vec<_> = text.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        let next = lines.get(i + 1).copied().unwrap_or_default();
        if !line.trim().is_empty() && !is_underline(line) && is_underline(next) {
            section.check()?;
            section = Section { heading: line.trim().to_owned(), ..Section::default() };
        } else if let Some(row) = field(line, ":Row:")? {
            section.fields = true;
            named.rows.push((row, section.heading.clone()));
        } else if let Some(row) = field(line, ":Processor:")? {
            section.fields = true;
            named.processor.push(row);
        } else if !line.trim().is_empty() && !is_underline(line) {
            section.text = true;
        }
    }
    section.check()?;
    let mut all: Vec<_> = named.all().collect();
    all.sort_unstable();
    if let Some(pair) = all.windows(2).find(|pair| pair[0] == pair[1]) {
        bail!("the row {:?} is named twice", pair[0]);
    }
    Ok(named)
}

/// What was found between two headings.
#[derive(Default)]
struct Section {
    heading: String,
    text: bool,
    fields: bool,
}

impl Section {
    fn check(&self) -> Result<()> {
        if self.fields && (self.heading.is_empty() || !self.text) {
            bail!("rows are named under {:?} without a reason", self.heading);
        }
        Ok(())
    }
}

fn is_underline(line: &str) -> bool {
    line.len() >= 3 && line.chars().all(|c| c == '=' || c == '-')
}

/// The row that a field names.
fn field(line: &str, name: &str) -> Result<Option<String>> {
    let Some(row) = line.strip_prefix(name).map(str::trim) else { return Ok(None) };
    if row.split_once(": ").is_none_or(|(program, name)| program.is_empty() || name.is_empty()) {
        bail!("{row:?} is not a row: expected PROGRAM: NAME");
    }
    Ok(Some(row.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_headings() {
        let text =
            ".. SPDX\n\n=====\nTitle\n=====\n\nText.\n\nOne\n===\n\n:Row: prog.sh: a.b\n:Row: p: x (2)\n\nWhy.\n\n\
                    Two\n---\nWhy.\n\n:Processor: p: mask\n";
        let named = parse(text).unwrap();
        assert_eq!(named.heading("prog.sh: a.b"), Some("One"));
        assert_eq!(named.heading("p: x (2)"), Some("One"));
        assert_eq!(named.heading("p: mask"), None);
        assert!(named.by_processor("p: mask") && !named.by_processor("p: x (2)"));
        assert_eq!(named.all().count(), 3);
        let left = named.without(&BTreeSet::from(["p"]));
        assert_eq!(left.all().collect::<Vec<_>>(), ["prog.sh: a.b"]);
    }

    #[test]
    fn mistakes_are_refused() {
        for (text, why) in [
            ("One\n===\nWhy.\n:Row: p\n", "PROGRAM: NAME"),
            ("One\n===\nWhy.\n:Row: p: \n", "PROGRAM: NAME"),
            ("One\n===\n:Row: p: x\n\nTwo\n===\nText.\n", "without a reason"),
            ("Text.\n\n:Row: p: x\n", "without a reason"),
            ("One\n===\nWhy.\n:Row: p: x\n\nTwo\n===\nWhy.\n:Processor: p: x\n", "twice"),
        ] {
            let e = format!("{:#}", parse(text).unwrap_err());
            assert!(e.contains(why), "{text}: {e}");
        }
    }

    #[test]
    fn the_shipped_page_is_valid() {
        let path = Path::new("../Documentation/divergences.rst");
        assert!(read(path).unwrap().all().count() > 0);
    }
}
