// SPDX-License-Identifier: GPL-2.0
//! `xfdctl report`: summarizes a record by thread, process, name, cgroup or verdict.

mod groups;
mod table;
mod timeline;

use crate::record::file::{self, Record};
use crate::text::{count, plain};
use anyhow::Context;
use clap::Args;
use groups::{By, Column};
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;

/// The exit statuses, for the help.
pub const STATUS: &str = "Exit status: 0 if the record is complete; 1 if it was cut short (what it has is shown); \
                          2 on a usage error; 3 if it cannot be read.";

const CUT: u8 = 1;

/// The options.
#[derive(Args)]
pub struct Arguments {
    /// The record to read; - is standard input
    #[arg(value_name = "FILE", default_value = file::DEFAULT)]
    file: PathBuf,
    /// Show a row for each of these
    #[arg(long, value_enum, default_value_t = By::Thread)]
    by: By,
    /// Sort by this column: names ascending, numbers descending
    #[arg(long, value_enum, default_value_t = Column::FirstUses, value_name = "COLUMN")]
    sort: Column,
    /// Print one JSON object about the record, and one for each row
    #[arg(long)]
    json: bool,
    /// Show when events happened, instead of which threads they happened to
    #[arg(long)]
    timeline: bool,
}

/// The JSON object about the record.
#[derive(Serialize)]
struct About<'a> {
    record: &'a file::Header,
    end: &'a Option<file::End>,
    cut: bool,
}

/// Prints the report; returns the exit status.
///
/// # Errors
///
/// Fails if the file cannot be read or is not a record, or if nobody reads the output.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let name = arguments.file.display();
    let record = if arguments.file.as_os_str() == "-" {
        Record::read(io::stdin().lock())
    } else {
        let file = File::open(&arguments.file).with_context(|| format!("cannot open {name}"))?;
        Record::read(BufReader::new(file))
    };
    let record = record.with_context(|| name.to_string())?;
    let mut out = anstream::stdout().lock();
    if arguments.json {
        let about = About { record: &record.header, end: &record.end, cut: record.end.is_none() };
        writeln!(out, "{}", serde_json::to_string(&about)?)?;
    } else {
        write!(out, "{}", heading(&record))?;
    }
    if arguments.timeline {
        timeline::print(&mut out, &record, arguments.json)?;
    } else {
        let rows = groups::rows(&record.events, arguments.by, arguments.sort);
        table::print(&mut out, &rows, arguments.by, arguments.json)?;
    }
    out.flush()?;
    if record.end.is_none() {
        let _ = writeln!(io::stderr(), "xfdctl: {name}: it was cut short: it has no end, and what it has is shown");
        return Ok(CUT);
    }
    Ok(0)
}

fn heading(record: &Record) -> String {
    let header = &record.header;
    let module = header.module.as_deref().map_or_else(String::new, |version| format!(" {version}"));
    let first = record.events.iter().map(|event| event.ns).find(|&ns| ns != 0);
    let last = record.events.last().map(|event| event.ns);
    let lasted = last.zip(first).map_or(0, |(last, first)| last - first);
    let mut lines = vec![format!(
        "{} in {} s; Linux {}, xfd{}, {}",
        count(record.events.len() as u64, "event"),
        crate::text::seconds(lasted),
        plain(&header.kernel),
        plain(&module),
        count(header.cpus, "CPU")
    )];
    let mut add = |count: u64, what: &str| lines.extend((count != 0).then(|| format!("{count} events {what}")));
    add(record.events.iter().map(groups::lost).sum(), "were lost: record with a larger --buffer");
    let end = record.end.clone().unwrap_or_default();
    add(end.unidentified, "are left out: their threads had ended before they could be looked up");
    add(groups::unknown(&record.events), "are of a kind that this xfdctl does not know");
    lines.join("\n") + "\n\n"
}
