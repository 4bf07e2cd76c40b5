// SPDX-License-Identifier: GPL-2.0
//! The command line.

use crate::watch;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

const DOCTOR_STATUS: &str = "Exit status: 0 nothing is wrong; 1 something is wrong, or the program died; 2 wrong \
                             use; 3 nothing is known to be wrong, and something could not be checked, or the program \
                             could not be run.";

/// Says whether AMX works on this machine, and if not, why; and who uses it.
#[derive(Parser)]
#[command(version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Looks at everything that AMX needs, from the processor to a process, and says what is wrong and the cure
    ///
    /// With a program, runs that as well, and explains its death if AMX is the reason. It is traced (ptrace), so
    /// it runs slower, and what is set-uid has no such rights. Nothing is changed, and no module is needed.
    #[command(after_help = DOCTOR_STATUS)]
    Doctor {
        /// One JSON object for each line; a program's output goes to where errors go
        #[arg(long)]
        json: bool,
        /// The program to run, and its arguments
        #[arg(last = true, value_name = "PROGRAM ARGS")]
        program: Vec<OsString>,
    },
    /// Shows the module xfd: since when it is in charge, its counters and what they mean
    #[command(after_help = watch::status::STATUS)]
    Status(watch::status::Arguments),
    /// Shows who uses AMX: threads, processes or cgroups, what their tiles do, and the memory of their buffers
    #[command(after_help = watch::top::STATUS)]
    Top(watch::top::Arguments),
    /// Writes counters, threads and memory for Prometheus, by way of the textfile collector of its node exporter
    #[command(after_help = watch::metrics::STATUS)]
    Metrics(watch::metrics::Arguments),
    /// Shows the five steps of each first use as they happen, and buffers that are taken and given back
    ///
    /// For root, and with the module. It has a tracing instance of its own, which goes when it ends.
    #[command(after_help = crate::trace::STATUS)]
    Trace(crate::trace::Arguments),
    /// Writes what `trace` would show to a file, for `report`
    ///
    /// Without a program until Ctrl-C. A record that was cut, by SIGKILL or a full disk, can be read as well.
    #[command(after_help = crate::record::STATUS)]
    Record(crate::record::Arguments),
    /// Sums up what `record` has written
    #[command(after_help = crate::report::STATUS)]
    Report(crate::report::Arguments),
    /// Writes man pages and completions of bash, fish and zsh into a folder, for a package
    #[command(hide = true)]
    Generate {
        /// It is made if it is not there
        folder: PathBuf,
    },
}
