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
        // Only now, because an older record is not to be lost if recording is not possible.
        let output = if to_output { Output::stdout() } else { Output::create(&arguments.output) };
        let output = output.with_context(cannot)?;
        let header = Header::now(&arguments.root.folder, session.events());
        let mut writer = Writer::begin(output.until(signals, None), &header).with_context(cannot)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::fixture::{self, PageMaker, FIRST_USE, RECLAIMED};
    use nix::sys::pthread::pthread_kill;
    use nix::sys::signal::Signal;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    use std::os::unix::thread::JoinHandleExt;
    use std::path::Path;
    use std::thread::{self, sleep, JoinHandle};
    use std::time::{Duration, Instant};

    type Recorder = JoinHandle<anyhow::Result<u8>>;

    /// Records to a named pipe.
    fn record() -> (tempfile::TempDir, PathBuf, impl FnOnce() -> Recorder) {
        let root = fixture::root(&[FIRST_USE, RECLAIMED]);
        fixture::thread(root.path(), 130, 129, "amx", "/a");
        let output = root.path().join("pipe");
        mkfifo(&output, Mode::S_IRWXU).unwrap();
        let arguments = Arguments {
            output: output.clone(),
            root: Root { folder: root.path().to_owned() },
            selection: Selection::default(),
            json: false,
            program: Vec::new(),
        };
        (root, output, || thread::spawn(move || run(&arguments)))
    }

    #[track_caller]
    fn until(what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed().as_secs() < 60, "waited in vain for: {what}");
            sleep(Duration::from_millis(2));
        }
    }

    /// Records these first uses, and ends the recorder with SIGTERM.
    fn record_and_end(root: &Path, recorder: &Recorder, count: u64) {
        // Signals are held before that.
        let is_on = |path: &PathBuf| {
            fs::read_to_string(path.join("events/xfd/xfd_first_use/enable")).is_ok_and(|text| text.trim() == "1")
        };
        until("the events", || fixture::instances(root).iter().any(is_on));
        let mut events = fixture::pipe(&fixture::instances(root)[0]);
        let mut page = PageMaker::at(1000);
        for tsc in 0..count {
            page.record(1, &fixture::first_use(130, 0, tsc));
        }
        fixture::give(&mut events, &page);
        pthread_kill(recorder.as_pthread_t(), Signal::SIGTERM).unwrap();
        until("the end", || recorder.is_finished());
    }

    fn end(root: &Path, recorder: Recorder) -> anyhow::Result<u8> {
        until("the end", || recorder.is_finished());
        assert!(fixture::instances(root).is_empty());
        recorder.join().unwrap()
    }

    #[test]
    fn nobody_reads_the_pipe() {
        let (root, output, begin) = record();
        let error = format!("{:#}", end(root.path(), begin()).unwrap_err());
        let why = "nobody reads this pipe: start what reads it first";
        assert_eq!(error, format!("cannot write {}: {why}", output.display()));
    }

    #[test]
    fn nobody_drains_the_pipe() {
        let (root, output, begin) = record();
        let reader = File::options().read(true).write(true).open(&output).unwrap();
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
        let recorder = begin();
        record_and_end(root.path(), &recorder, 40);
        let error = format!("{:#}", end(root.path(), recorder).unwrap_err());
        assert!(error.ends_with(": interrupted while nobody reads the output"), "{error}");
    }

    #[test]
    fn somebody_reads_the_pipe() {
        let (root, output, begin) = record();
        let mut reader = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&output).unwrap();
        let recorder = begin();
        record_and_end(root.path(), &recorder, 2);
        assert_eq!(end(root.path(), recorder).unwrap(), 0);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let record = file::Record::read(text.as_bytes()).unwrap();
        assert_eq!((record.events.len(), record.end.unwrap().events), (2, 2));
    }
}
