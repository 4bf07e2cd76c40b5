// SPDX-License-Identifier: GPL-2.0
//! Which paths, disturbances and instructions to run.

use std::str::FromStr;

/// What to run.
#[derive(clap::Args)]
pub struct Choice {
    /// Only about this many instructions of each path, evenly spaced.
    #[arg(long, env = "XFD_TRIALS", default_value_t = u64::MAX, hide_default_value = true,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) trials: u64,

    /// Only this instruction of each path, or this range; prints where each is.
    #[arg(long, value_name = "FIRST-LAST", env = "XFD_INSTRUCTIONS")]
    pub(super) instructions: Option<Instructions>,

    /// Chooses which of them [default: from the clock].
    #[arg(long, env = "XFD_SEED")]
    pub(super) seed: Option<u64>,

    /// Only these paths.
    #[arg(
        long = "path",
        value_name = "PATH",
        env = "XFD_PATHS",
        value_delimiter = ','
    )]
    pub(super) paths: Vec<String>,

    /// Only these disturbances.
    #[arg(
        long = "by",
        value_name = "DISTURBANCE",
        env = "XFD_BY",
        value_delimiter = ','
    )]
    pub(super) by: Vec<String>,

    /// Only the K-th of N equal parts of all this.
    #[arg(
        long,
        value_name = "K/N",
        env = "XFD_PART",
        default_value = "1/1",
        hide_default_value = true
    )]
    pub(super) part: Part,

    /// Lists paths and disturbances.
    #[arg(long)]
    pub(super) list: bool,
}

/// A range of a path's instructions.
#[derive(Clone, Copy)]
pub(super) struct Instructions {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Instructions {
    pub(super) const ALL: Instructions = Instructions {
        first: 0,
        last: u64::MAX,
    };
}

impl FromStr for Instructions {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Instructions { first, last }),
            _ => Err("expected a number or a range, such as 311 or 300-320"),
        }
    }
}

/// One of several equal parts.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) number: usize,
    pub(super) of: usize,
}

impl FromStr for Part {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Part { number, of }),
            _ => Err("expected K/N, such as 1/4"),
        }
    }
}
