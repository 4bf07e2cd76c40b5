// SPDX-License-Identifier: GPL-2.0
//! `xfdctl`: the operator's tool for AMX. Commands that do not need the module work without it.

mod cli;
mod doctor;
mod events;
mod generate;
mod module;
mod output;
mod paint;
mod proc;
mod record;
mod report;
mod root;
mod signals;
mod text;
mod trace;
mod watch;

use clap::Parser;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit status of a failed command.
const NOT_DONE: u8 = 3;

fn main() -> ExitCode {
    let done = match cli::Arguments::parse().command {
        cli::Command::Doctor { json, program } => doctor::run(json, &program),
        cli::Command::Status(arguments) => watch::status::run(&arguments),
        cli::Command::Top(arguments) => watch::top::run(&arguments),
        cli::Command::Metrics(arguments) => watch::metrics::run(&arguments),
        cli::Command::Record(arguments) => record::run(&arguments),
        cli::Command::Report(arguments) => report::run(&arguments),
        cli::Command::Trace(arguments) => trace::run(&arguments),
        cli::Command::Generate { folder } => generate::all(&folder),
    };
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // A reader that closes the pipe has seen enough: not worth a message.
            let is_unread = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
            if !error.downcast_ref().is_some_and(is_unread) {
                complain(&error);
            }
            ExitCode::from(NOT_DONE)
        }
    }
}

/// Prints an error and its causes on one line.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "xfdctl: {error:#}");
}
