// SPDX-License-Identifier: GPL-2.0
//! The command line.

use crate::watch;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

const DOCTOR_STATUS: &str = "Exit status: 0 if nothing is wrong; 1 if something is wrong or the program died; 2 on a \
                             usage error; 3 if nothing is known to be wrong but something could not be checked, or if \
                             the program could not be run.";

/// Show whether AMX works on this machine, why not, and who uses it.
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
    /// Check everything that AMX needs, from the processor to a process, and report problems and how to fix them
    ///
    /// With a program, also run it, and explain its death if AMX is the cause. The program is traced (ptrace), so it
    /// runs more slowly, and set-uid programs do not gain their privileges. Nothing is changed, and the module is not
    /// needed.
    #[command(after_help = DOCTOR_STATUS)]
    Doctor {
        /// Print one JSON object per line; the program's output goes to standard error
        #[arg(long)]
        json: bool,
        /// The program to run, with its arguments
        #[arg(last = true, value_name = "PROGRAM ARGS")]
        program: Vec<OsString>,
    },
    /// Show the xfd module: whether it is in charge, its counters and what they mean
    #[command(after_help = watch::status::STATUS)]
    Status(watch::status::Arguments),
    /// Show who uses AMX: threads, processes or cgroups, the state of their tiles, and the memory of their buffers
    #[command(after_help = watch::top::STATUS)]
    Top(watch::top::Arguments),
    /// Write counters, threads and memory as metrics for the textfile collector of Prometheus' node exporter
    #[command(after_help = watch::metrics::STATUS)]
    Metrics(watch::metrics::Arguments),
    /// Show the five steps of each first use as they happen, and buffers that are reclaimed and regrown
    ///
    /// Needs root and the module. It uses its own tracing instance, and removes it at the end.
    #[command(after_help = crate::trace::STATUS)]
    Trace(crate::trace::Arguments),
    /// Write to a file what `trace` would show, for `report`
    ///
    /// Without a program it records until Ctrl-C. A record that was cut short, by SIGKILL or a full disk, can still be
    /// read.
    #[command(after_help = crate::record::STATUS)]
    Record(crate::record::Arguments),
    /// Summarize what `record` has written
    #[command(after_help = crate::report::STATUS)]
    Report(crate::report::Arguments),
    /// Write man pages and completions for bash, fish and zsh to a folder, for packaging
    #[command(hide = true)]
    Generate {
        /// The folder, created if necessary
        folder: PathBuf,
    },
}
