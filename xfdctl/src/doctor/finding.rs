// SPDX-License-Identifier: GPL-2.0
//! One line of the doctor's.

use crate::paint;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::io::{self, Write};

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing, and not wrong.
    Note,
    /// AMX does not work, or not always, because of it.
    Wrong,
    /// It cannot be seen from here.
    Unknown,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub about: &'static str,
    /// How that is.
    pub state: State,
    /// In a sentence.
    pub what: String,
    /// What to do, if there is anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(about, State::Ok, what, None)
    }

    /// Worth knowing.
    pub fn note(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(about, State::Note, what, None)
    }

    /// Wrong, with its cure.
    pub fn wrong(about: &'static str, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(about, State::Wrong, what, Some(cure.into()))
    }

    /// Not to be seen from here.
    pub fn unknown(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(about, State::Unknown, what, None)
    }

    fn new(about: &'static str, state: State, what: impl Into<String>, cure: Option<String>) -> Self {
        Self { about, state, what: what.into(), cure }
    }
}

/// Prints one: a JSON object, or a line and its cure below it. Lines are broken on a terminal only.
///
/// # Errors
///
/// Nobody reads it any more.
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
