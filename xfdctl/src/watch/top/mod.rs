// SPDX-License-Identifier: GPL-2.0
//! `xfdctl top`: who is using AMX right now.
//!
//! ```text
//! snapshot -> group (threads, or their sums) -> columns (what is shown, and in which order)
//!   -> plain (text, JSON), or live (on a screen)
//! ```

mod columns;
mod group;
mod keys;
mod live;
mod plain;
mod screen;
mod view;

use super::cgroups::Cgroups;
use super::rates::Rates;
use super::sight::Sight;
use super::snapshot::Snapshot;
use super::{clock, NOT_LOADED, NOT_LOADED_WHAT};
use crate::module::Module;
use crate::paint;
use crate::root::Root;
use clap::Args;
use columns::Column;
use group::By;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;
use view::View;

/// The exit statuses, for the help.
pub const STATUS: &str = "Exit status: 0 if the table was shown; 2 on a usage error; 3 if the module could not be \
                          read; 4 if xfd is not loaded.";

/// The options.
#[derive(Args)]
pub struct Arguments {
    /// Show a line for each thread, or the totals of each process or cgroup
    #[arg(long, value_name = "WHAT", default_value = "thread")]
    by: By,
    /// Sort by this column: names and IDs ascending, other numbers descending
    #[arg(long, value_name = "COLUMN")]
    sort: Option<Column>,
    /// Print one table, which is the default without a terminal
    #[arg(long, conflicts_with = "count")]
    once: bool,
    /// Print this many tables
    #[arg(short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Time between two tables
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = clock::seconds)]
    interval: Duration,
    /// Print one JSON object for each table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    root: Root,
}

/// Shows the table; returns the exit status.
///
/// # Errors
///
/// Fails if the module or the terminal cannot be read, or if nobody reads the output.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let view = match View::new(arguments.by, arguments.sort) {
        Ok(view) => view,
        Err(wrong) => {
            let command = Arguments::augment_args(clap::Command::new("top").bin_name("xfdctl top"));
            command.clone().error(clap::error::ErrorKind::ValueValidation, wrong).exit()
        }
    };
    let root = &arguments.root.folder;
    let plain = arguments.once || arguments.json || arguments.count.is_some();
    if !plain && has_terminal() {
        return live::run(root, view, arguments.interval);
    }
    let mut out = anstream::stdout().lock();
    let mut before = None;
    for table in 0..arguments.count.unwrap_or(1) {
        if table > 0 {
            std::thread::sleep(arguments.interval);
        }
        let Some(seen) = Seen::read(root, before)? else {
            return not_loaded(&mut out, arguments.json);
        };
        if arguments.json {
            writeln!(out, "{}", plain::json(&seen, view))?;
        } else {
            let text = plain::text(&seen, view, paint::width());
            write!(out, "{}{text}", if table > 0 { "\n" } else { "" })?;
        }
        out.flush()?;
        before = Some(seen);
    }
    Ok(0)
}

fn has_terminal() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
}

fn not_loaded(out: &mut impl Write, as_json: bool) -> anyhow::Result<u8> {
    if as_json {
        writeln!(out, "{}", json!({ "loaded": false, "what": NOT_LOADED_WHAT }))?;
    } else {
        for line in paint::lines(NOT_LOADED_WHAT, paint::width()) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(NOT_LOADED)
}

/// Everything that goes into a table.
struct Seen {
    module: Module,
    kernel: String,
    sight: Sight,
    now: Snapshot,
    rates: Rates,
    cgroups: Cgroups,
}

impl Seen {
    /// Reads it, `before` being the previous reading; `None` if the module is not loaded.
    fn read(root: &Path, before: Option<Self>) -> anyhow::Result<Option<Self>> {
        let Some(now) = Snapshot::take(root)? else { return Ok(None) };
        let Some(module) = Module::read(root) else { return Ok(None) };
        let (before, known) = before.map(|before| (before.now, before.cgroups)).unzip();
        let mut cgroups = known.unwrap_or_else(|| Cgroups::new(root));
        cgroups.learn(now.threads.iter().map(|thread| thread.cgroup));
        let rates = Rates::new(before.as_ref(), &now);
        let (kernel, sight) = (crate::proc::kernel_release(root), Sight::read(root));
        Ok(Some(Self { module, kernel, sight, now, rates, cgroups }))
    }
}
