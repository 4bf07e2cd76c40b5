// SPDX-License-Identifier: GPL-2.0
//! `xfdctl record`: writes the module's events to a file, for `xfdctl report`.

pub mod file;

use crate::events::{Selection, Session};
use crate::output::Output;
use crate::root::Root;
use crate::trace::{begin, unidentified, with_program};
use anyhow::Context;
use clap::Args;
use file::{Header, Writer};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// The exit statuses, for the help.
pub const STATUS: &str = "Exit status: 0 if the record is complete; with a program, its own status, 128 plus the \
                          signal that killed it, 126 or 127 if it cannot be run, or 125 if it cannot be recorded; 2 \
                          on a usage error; 3 if recording is not possible or the file cannot be written.";

/// The options.
#[derive(Args)]
pub struct Arguments {
    /// The file to write; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = file::DEFAULT)]
    output: PathBuf,
    #[command(flatten)]
    root: Root,
    #[command(flatten)]
    selection: Selection,
    /// Print a JSON object about the record at the end
    #[arg(long)]
    json: bool,
    /// A program to run, with its arguments: only its threads and child processes are recorded
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    program: Vec<OsString>,
}

/// Records until the end; returns the exit status.
///
/// # Errors
///
/// Fails if tracing is not possible or the file cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let to_output = arguments.output.as_os_str() == "-";
    with_program(&arguments.program, arguments.json || to_output, |signals, program| {
        let mut session = Session::start(&arguments.root.folder, &arguments.selection, program.as_deref())?;
        let cannot = || format!("cannot write {}", arguments.output.display());
        let output = Output::stdout()?;
        let out: Box<dyn Write> = if to_output {
            Box::new(output.until(signals, None))
        } else {
            Box::new(File::create(&arguments.output).with_context(cannot)?)
        };
        let mut writer =
            Writer::begin(out, &Header::now(&arguments.root.folder, session.events())).with_context(cannot)?;
        begin(program)?;
        while let Some(events) = session.next(signals, program.as_deref_mut())? {
            writer.add(&events).with_context(cannot)?;
        }
        let end = writer.end(session.unidentified).with_context(cannot)?;
        unidentified(session.unidentified);
        let mut out = io::stderr();
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&end)?)?;
        } else {
            writeln!(out, "xfdctl: {} events in {}; {} were lost", end.events, arguments.output.display(), end.lost)?;
        }
        Ok(())
    })
}
