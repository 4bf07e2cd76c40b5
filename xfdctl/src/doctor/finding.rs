// SPDX-License-Identifier: GPL-2.0
//! One line of the doctor's output.

use crate::paint;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::io::{self, Write};

/// The verdict on what was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All is well.
    Ok,
    /// Worth knowing, but not a problem.
    Note,
    /// It keeps AMX from working, at least sometimes.
    Wrong,
    /// It could not be checked.
    Unknown,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, in a word or two.
    pub about: &'static str,
    /// The verdict.
    pub state: State,
    /// What was found, in a sentence.
    pub what: String,
    /// What to do about it, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(about, State::Ok, what, None)
    }

    /// Worth knowing.
    pub fn note(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(about, State::Note, what, None)
    }

    /// It is a problem, and `cure` says what to do about it.
    pub fn wrong(about: &'static str, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(about, State::Wrong, what, Some(cure.into()))
    }

    /// It could not be checked.
    pub fn unknown(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(about, State::Unknown, what, None)
    }

    fn new(about: &'static str, state: State, what: impl Into<String>, cure: Option<String>) -> Self {
        Self { about, state, what: what.into(), cure }
    }
}

/// Prints a finding: a JSON object, or a line followed by what to do. Lines are wrapped only on a terminal.
///
/// # Errors
///
/// Fails if nobody reads the output.
pub fn print(finding: &Finding, json: bool) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    if json {
        return writeln!(out, "{}", serde_json::to_string(finding)?);
    }
    let (word, style) = match finding.state {
        State::Ok => ("ok", AnsiColor::Green.on_default()),
        State::Note => ("note", Style::new()),
        State::Wrong => ("WRONG", AnsiColor::Red.on_default().bold()),
        State::Unknown => ("unknown", AnsiColor::Yellow.on_default()),
    };
    let indent = " ".repeat(22);
    let width = paint::width().map(|width| width.saturating_sub(indent.len()).max(30));
    let wrapped = |text: &str| paint::lines(text, width).join(&format!("\n{indent}"));
    writeln!(out, "{style}{word:<8}{style:#}{:<14}{}", finding.about, wrapped(&finding.what))?;
    if let Some(cure) = &finding.cure {
        writeln!(out, "{:<22}{}", "        do this:", wrapped(cure))?;
    }
    out.flush()
}
