// SPDX-License-Identifier: GPL-2.0
//! A case as a line of text, and a file of such lines.

use super::case::{Call, Case, Edit, Pointer, Size, Start};
use anyhow::{bail, Context};
use std::fmt;
use std::str::FromStr;

const STARTS: [(Start, &str); 4] = [
    (Start::None, "none"),
    (Start::Permitted, "permitted"),
    (Start::Live, "live"),
    (Start::Released, "released"),
];

/// Every kind of pointer.
pub const POINTERS: [(Pointer, &str); 7] = [
    (Pointer::Good, "good"),
    (Pointer::Odd, "odd"),
    (Pointer::Null, "null"),
    (Pointer::ReadOnly, "readonly"),
    (Pointer::End, "end"),
    (Pointer::Kernel, "kernel"),
    (Pointer::NonCanonical, "noncanonical"),
];

fn name<T: PartialEq + Copy>(list: &[(T, &'static str)], value: T) -> &'static str {
    list.iter()
        .find(|(v, _)| *v == value)
        .map_or("", |(_, name)| name)
}

fn named<T: Copy>(list: &[(T, &str)], text: &str) -> anyhow::Result<T> {
    let found = list.iter().find(|(_, name)| *name == text);
    Ok(found.with_context(|| format!("{text}?"))?.0)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Case::Calls(calls) => {
                write!(f, "calls")?;
                calls.iter().try_for_each(|call| match call {
                    Call::Get(option, to) => write!(f, " get:{option:#x}:{}", name(&POINTERS, *to)),
                    Call::Prctl(option, arg) => write!(f, " prctl:{option:#x}:{arg:#x}"),
                    Call::Altstack(bytes) => write!(f, " altstack:{bytes}"),
                    Call::Use => write!(f, " use"),
                })
            }
            Case::Frame(start, edits) => {
                write!(f, "frame {}", name(&STARTS, *start))?;
                edits.iter().try_for_each(|edit| write!(f, " {edit}"))
            }
            Case::Regset(start, size, edits) => {
                write!(f, "regset {} ", name(&STARTS, *start))?;
                match size {
                    Size::Read(more) => write!(f, "size:{more:+}")?,
                    Size::Bytes(bytes) => write!(f, "size:{bytes}")?,
                }
                edits.iter().try_for_each(|edit| write!(f, " {edit}"))
            }
            Case::Clone(start, flags) => {
                write!(f, "clone {} {flags:#x}", name(&STARTS, *start))
            }
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Bytes(offset, bytes, value) => write!(f, "{offset}:{bytes}={value:#x}"),
            Edit::Area(pointer) => write!(f, "area={pointer:#x}"),
        }
    }
}

fn number(text: &str) -> anyhow::Result<u64> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.with_context(|| format!("{text} is not a number"))
}

impl FromStr for Edit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Edit> {
        let (place, value) = text
            .split_once('=')
            .with_context(|| format!("{text}: no ="))?;
        if place == "area" {
            return Ok(Edit::Area(number(value)?));
        }
        let (offset, bytes) = place
            .split_once(':')
            .with_context(|| format!("{text}: no :"))?;
        let bytes = bytes.parse()?;
        if !(1..=8).contains(&bytes) {
            bail!("{text}: 1 to 8 bytes");
        }
        Ok(Edit::Bytes(offset.parse()?, bytes, number(value)?))
    }
}

impl FromStr for Call {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Call> {
        let parts: Vec<&str> = text.split(':').collect();
        Ok(match parts[..] {
            ["get", option, to] => Call::Get(number(option)? as u32, named(&POINTERS, to)?),
            ["prctl", option, arg] => Call::Prctl(number(option)? as u32, number(arg)?),
            ["altstack", bytes] => Call::Altstack(number(bytes)?),
            ["use"] => Call::Use,
            _ => bail!("{text}: no such call"),
        })
    }
}

impl FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Case> {
        let mut words = line.split_whitespace();
        let mut next = || {
            words
                .next()
                .with_context(|| format!("{line}: a word is missing"))
        };
        let kind = next()?;
        if kind == "calls" {
            return Ok(Case::Calls(
                words.map(str::parse).collect::<Result<_, _>>()?,
            ));
        }
        let start = named(&STARTS, next()?)?;
        Ok(match kind {
            "frame" => Case::Frame(start, words.map(str::parse).collect::<Result<_, _>>()?),
            "clone" => Case::Clone(start, number(next()?)?),
            "regset" => {
                let size = next()?;
                let text = size
                    .strip_prefix("size:")
                    .with_context(|| format!("{size}?"))?;
                let size = if text.starts_with(['+', '-']) {
                    Size::Read(text.parse()?)
                } else {
                    Size::Bytes(text.parse()?)
                };
                Case::Regset(
                    start,
                    size,
                    words.map(str::parse).collect::<Result<_, _>>()?,
                )
            }
            _ => bail!("{line}: no such kind of case"),
        })
    }
}

/// The lines of a corpus: `NAME: CASE`, empty, or a comment that starts with `#`.
///
/// # Errors
///
/// A line is none of these, or a name is used twice.
pub fn corpus(text: &str) -> anyhow::Result<Vec<(&str, Case)>> {
    let mut cases: Vec<(&str, Case)> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (name, case) = line
            .split_once(": ")
            .with_context(|| format!("{line}: no name"))?;
        if cases.iter().any(|(other, _)| *other == name) {
            bail!("{name} appears twice");
        }
        cases.push((name, case.parse().with_context(|| name.to_owned())?));
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::generate;
    use crate::stress::plan::Choice;
    use crate::stress::Place;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let mut choice = Choice::of(Place {
            seed: 3,
            slot: 0,
            generation: 0,
            thread: 0,
        });
        for _ in 0..2000 {
            let case = generate::case(&mut choice);
            let line = case.to_string();
            assert_eq!(line.parse::<Case>().unwrap(), case, "{line}");
        }
    }

    #[test]
    fn the_corpus_is_valid() {
        assert!(
            corpus(include_str!("../../corpus/cases.txt"))
                .unwrap()
                .len()
                > 20
        );
    }

    #[test]
    fn mistakes_are_refused() {
        for line in [
            "a: frame",
            "a: frame live 1:9=0",
            "a: calls jump",
            "a: clone live x",
            "frame live",
        ] {
            assert!(corpus(line).is_err(), "{line}");
        }
        assert!(corpus("a: calls\na: calls\n").is_err());
    }
}
