// SPDX-License-Identifier: GPL-2.0
//! `xfdctl trace`: shows the module's events as they happen.

mod show;

use crate::events::program::{CannotRun, Program, FAILED};
use crate::events::{Event, Selection, Session, What};
use crate::output::{is_interruption, Output};
use crate::root::Root;
use crate::signals::{Signals, ENDING};
use clap::Args;
use std::ffi::OsString;
use std::io::{self, Write};

/// The exit statuses, for the help.
pub const STATUS: &str = "Exit status: 0 if tracing was ended by a signal or by -n; with a program, its own status, \
                          128 plus the signal that killed it, 126 or 127 if it cannot be run, or 125 if it cannot be \
                          traced; 2 on a usage error; 3 if tracing is not possible.";

/// The options.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    root: Root,
    #[command(flatten)]
    selection: Selection,
    /// Print one line for each first use, instead of its five steps
    #[arg(long, conflicts_with = "json")]
    short: bool,
    /// Print one JSON object for each event; the program's output goes to standard error
    #[arg(long)]
    json: bool,
    /// End after this many events
    #[arg(short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// A program to run, with its arguments: only its threads and child processes are shown
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    program: Vec<OsString>,
}

/// Shows events until the end; returns the exit status.
///
/// # Errors
///
/// Fails if tracing is not possible or nobody reads the output.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let choice = anstream::AutoStream::choice(&io::stdout());
    let show = |event: &Event| match (arguments.json, arguments.short) {
        (true, _) => show::json(event),
        (_, true) => Ok(show::line(event)),
        _ => show::steps(event),
    };
    with_program(&arguments.program, arguments.json, |signals, program| {
        let mut session = Session::start(&arguments.root.folder, &arguments.selection, program.as_deref())?;
        let mut left = arguments.count.unwrap_or(u64::MAX);
        let output = Output::stdout()?;
        let mut out = output.until(signals, None);
        begin(program)?;
        while let Some(events) = session.next(signals, program.as_deref_mut())? {
            for event in events {
                let text = show(&event)?;
                let text = if choice == anstream::ColorChoice::Never {
                    anstream::adapter::strip_str(&text).to_string()
                } else {
                    text
                };
                match out.write_all(text.as_bytes()) {
                    Err(error) if is_interruption(&error) => return Ok(()),
                    done => done?,
                }
                left -= u64::from(!matches!(event.what, What::Lost { .. }));
                if left == 0 {
                    return Ok(());
                }
            }
            out.flush()?;
        }
        unidentified(session.unidentified);
        Ok(())
    })
}

/// Lets the program begin, if there is one.
pub fn begin(program: &mut Option<&mut Program>) -> anyhow::Result<()> {
    program.as_mut().map_or(Ok(()), |program| program.begin())
}

/// Prints at the end how many events were left out.
pub fn unidentified(count: u64) {
    if count != 0 {
        let _ = writeln!(
            io::stderr(),
            "xfdctl: {count} events are left out: their threads had ended before they could be matched with the options"
        );
    }
}

/// Calls `does` with a program that waits to begin, if there are `words`; returns the exit status.
///
/// # Errors
///
/// Fails if `does` failed and there is no program whose exit status would say so.
pub fn with_program(
    words: &[OsString],
    quiet: bool,
    does: impl FnOnce(&Signals, &mut Option<&mut Program>) -> anyhow::Result<()>,
) -> anyhow::Result<u8> {
    let signals = Signals::hold(&ENDING)?;
    let mut program = Program::prepare(words, quiet, &signals)?;
    let done = does(&signals, &mut program.as_mut());
    let Some(mut program) = program else { return done.map(|()| 0) };
    match done {
        Ok(()) => status(&mut program, &signals),
        // A closed pipe ends the output, not the program.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            status(&mut program, &signals)
        }
        Err(error) => {
            crate::complain(&error);
            Ok(error.downcast_ref::<CannotRun>().map_or(FAILED, |why| why.status))
        }
    }
}

/// Waits for the program's exit status, or for a signal that ends us first.
fn status(program: &mut Program, signals: &Signals) -> anyhow::Result<u8> {
    loop {
        if let Some(status) = program.status()? {
            return Ok(status);
        }
        if signals.has_ended() {
            return Ok(FAILED);
        }
        signals.wait(&[program.ends()], None)?;
    }
}
