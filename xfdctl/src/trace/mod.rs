// SPDX-License-Identifier: GPL-2.0
//! `xfdctl trace`: the module's events as they happen.

mod show;

use crate::events::program::{CannotRun, Program, FAILED};
use crate::events::{Event, Selection, Session, What};
use crate::output::{is_interruption, Output};
use crate::root::Root;
use crate::signals::{Signals, ENDING};
use clap::Args;
use std::ffi::OsString;
use std::io::{self, Write};

/// For the manual.
pub const STATUS: &str = "Exit status: 0 tracing has ended, by a signal or by -n; with a program its own, 128 and the \
                          signal that it died of, 126 or 127 if it cannot be run, 125 if it cannot be traced; 2 wrong \
                          use; 3 tracing is not possible.";

/// How events are shown.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    root: Root,
    #[command(flatten)]
    selection: Selection,
    /// One line for each first use, instead of its five steps
    #[arg(long, conflicts_with = "json")]
    short: bool,
    /// One JSON object for each event; a program's output goes to where errors go
    #[arg(long)]
    json: bool,
    /// Ends after so many events
    #[arg(short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// A program to run, and its arguments: it and whom it makes are shown, and no others
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    program: Vec<OsString>,
}

/// Shows events to the end; the exit status.
///
/// # Errors
///
/// They cannot be had, or nobody reads what is shown.
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

/// The program begins, if there is one.
pub fn begin(program: &mut Option<&mut Program>) -> anyhow::Result<()> {
    program.as_mut().map_or(Ok(()), |program| program.begin())
}

/// Said when nothing more comes.
pub fn unidentified(count: u64) {
    if count != 0 {
        let _ = writeln!(
            io::stderr(),
            "xfdctl: {count} events are left out: their threads had ended before it could be seen whether they are selected"
        );
    }
}

/// Does something while a program runs, or by itself; the exit status.
///
/// # Errors
///
/// It was not done, and there is no program.
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
        // Whoever reads has enough; the program is not to be left alone for that.
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

/// The program's exit status, when it has ended; or a signal ends us before it.
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
