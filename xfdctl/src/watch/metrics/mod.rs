// SPDX-License-Identifier: GPL-2.0
//! `xfdctl metrics`: counters and threads for Prometheus, via `node_exporter`'s textfile collector.

mod file;
mod text;

use super::cgroups::Cgroups;
use super::clock;
use crate::root::Root;
use crate::signals::{Event, Signals};
use anyhow::Context;
use clap::{Args, ValueEnum};
use nix::sys::signal::Signal;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The exit statuses, for the help.
pub const STATUS: &str = "Exit status: 0 if the metrics were written, even without the module (xfd_up 0), or a signal \
                          ended it; 2 on a usage error; 3 if the module could not be read or the metrics not written.";

/// The options.
#[derive(Args)]
pub struct Arguments {
    /// The file, which is replaced atomically; the collector requires a name like *.prom [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Rewrite the file at this interval, until SIGTERM or SIGINT
    #[arg(long, value_name = "SECONDS", value_parser = clock::seconds, requires = "output")]
    watch: Option<Duration>,
    /// Add this label to threads and bytes: there are as many series as cgroups with such threads
    #[arg(long, value_name = "LABEL")]
    by: Option<By>,
    #[command(flatten)]
    root: Root,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum By {
    /// The path of the cgroup
    Cgroup,
}

/// Writes the metrics; returns the exit status.
///
/// # Errors
///
/// Fails if the module cannot be read or the metrics cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let root = &arguments.root.folder;
    let mut cgroups = (arguments.by == Some(By::Cgroup)).then(|| Cgroups::new(root));
    let mut text = || text::text(&text::Seen::read(root)?, cgroups.as_mut());
    let Some(path) = &arguments.output else {
        io::stdout().write_all(text()?.as_bytes())?;
        return Ok(0);
    };
    let mut write = || file::replace(path, &text()?).with_context(|| format!("cannot write {}", path.display()));
    let Some(interval) = arguments.watch else { return write().map(|()| 0) };

    let signals = Signals::hold(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])?;
    write()?;
    let mut next = Instant::now() + interval;
    loop {
        match signals.wait(&[], Some(next))? {
            Event::Signal => return Ok(0),
            Event::Time | Event::Input => {
                // A disk that is full now may have space next time, also if standard error is a file on it.
                if let Err(error) = write() {
                    let _ = writeln!(io::stderr(), "xfdctl: {error:#}; will try again");
                }
                next = (next + interval).max(Instant::now());
            }
        }
    }
}
