// SPDX-License-Identifier: GPL-2.0
//! `machine run`: runs a program of this host in the machine.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::boot::channel;
use crate::boot::console::{Event, Shown};
use crate::boot::machine::{check_cpus, How, Machine, Settings};
use crate::boot::verdict::{self, NO_START, RUN_SHIFT};
use crate::boot::Feed;
use crate::command::job::Job;
use crate::command::written;
use crate::piece::module::{Module, MODULE};
use crate::piece::programs::brought;
use crate::piece::project::Project;
use crate::workshop::progress::note;
use crate::workshop::Usage;

/// The options of `run`.
pub struct Options {
    pub cpus: u8,
    pub memory_mib: u32,
    pub module: bool,
    pub cmdline: String,
    /// Wait for a debugger before the program starts.
    pub debugger: bool,
    /// Optional features to give to the CPU.
    pub features: Vec<String>,
    pub show_console: bool,
    pub timeout: Option<u64>,
    /// Boot even if there is a saved machine.
    pub boot: bool,
    pub with: Vec<String>,
    pub environment: Vec<String>,
    /// The folder for the files that the program wrote.
    pub out: Option<PathBuf>,
    /// The program and its arguments.
    pub program: Vec<String>,
}

/// Runs the program and shows what it prints.
///
/// # Returns
///
/// The program's exit status; 200 + status if the machine failed (see `verdict`), with a message that says so.
pub fn run(project: &Project, options: &Options) -> Result<u8> {
    check_cpus(options.cpus)?;
    let [name, arguments @ ..] = options.program.as_slice() else { bail!("no program was given") };
    let own = brought::find(name)?;
    options.out.as_deref().map(written::prepare).transpose()?;
    let mut machine = Machine::prepare(project)?;
    if options.debugger {
        machine = machine.with_debugger()?;
    }
    let (module, path) = match own {
        Some(path) => (options.module.then(|| machine.module(&machine.kernel)).transpose()?, path),
        None => {
            let (module, programs) = machine.module_and_programs(options.module)?;
            let found = programs.get(name);
            let missing = || format!("there is no program {}: it is not a file, not in PATH, and not a test", name);
            (module, found.ok_or_else(|| Usage(missing()))?.to_path_buf())
        }
    };
    let (with, environment) = (&options.with, &options.environment);
    let (memory_mib, collects) = (options.memory_mib, options.out.is_some());
    let job = Job { program: &path, arguments, with, environment, memory_mib, collects }.archive()?;
    // A machine with its own settings would be saved for this run only.
    let save = !options.boot && !options.debugger && options.cmdline.is_empty() && options.features.is_empty();
    let load = module.as_ref().map(|_| MODULE);
    let files = machine.guest(&Settings::Job { save }, module.as_ref(), load)?;
    let how = How {
        name: "run",
        cpus: options.cpus,
        memory_mib,
        cmdline: &options.cmdline,
        quiet: Duration::from_secs(options.timeout.unwrap_or(600)),
        total: options.timeout.map_or(Duration::MAX, Duration::from_secs),
        show_console: options.show_console,
        fast_strings: false,
        with: &options.features,
        without: &[],
        terminal: None,
    };
    // The archive of what the program wrote may be larger than this host's memory.
    let scratch = project.cache.scratch("written")?;
    let archive = scratch.path().join("archive");
    let mut written = options.out.as_ref().map(|_| File::create(&archive)).transpose()?;
    let (mut shown, mut kept) = (Shown::default(), Ok(()));
    let show = |event| match (event, &mut written) {
        (Event::Files(bytes), Some(file)) if kept.is_ok() => kept = file.write_all(&bytes),
        (event, _) => shown.take(event),
    };
    let report = match save {
        true => {
            let state =
                machine.saved(if options.module { Module::Loaded } else { Module::Absent }.name(), &files, &how)?;
            machine.restore(&state, &how, feed(job), show)?
        }
        false => machine.boot_fed(&files, &how, feed(job), show)?,
    };
    let Shown { begun, status, trouble, lost } = shown;
    if let Some(reason) = verdict::reason(&report.end, &report.problems) {
        note(&format!("machine: {reason}; console log: {}", report.log.display()));
    }
    if let Some(code) = verdict::status(&report.end, &report.problems) {
        return Ok(RUN_SHIFT + code);
    }
    if let (Some(folder), Some(_)) = (&options.out, status) {
        let archive = &mut BufReader::new(File::open(&archive)?);
        let unpacked = kept.context("cannot keep the archive").and_then(|()| written::unpack(archive, folder));
        match unpacked {
            Ok(1) => note(&format!("machine: 1 file in {}", folder.display())),
            Ok(number) => note(&format!("machine: {number} files in {}", folder.display())),
            Err(why) => {
                note(&format!("machine: --out {}: {why:#}", folder.display()));
                return Ok(RUN_SHIFT + NO_START);
            }
        }
    }
    if let Some(why) = lost {
        note(&format!("machine: the program's output could not be written: {why}"));
        return Ok(RUN_SHIFT + NO_START);
    }
    match (trouble, status) {
        (Some(why), _) => {
            note(&format!("machine: {why}; console log: {}", report.log.display()));
            Ok(RUN_SHIFT + NO_START)
        }
        (None, Some(status)) => {
            let status = u8::try_from(status).unwrap_or(u8::MAX);
            if (RUN_SHIFT + verdict::KERNEL..=RUN_SHIFT + NO_START).contains(&status) {
                note(&format!("machine: the program itself ended with status {status}"));
            }
            Ok(status)
        }
        (None, None) => {
            let what = if begun {
                "the program's end is not known: the agent in the guest has ended before it"
            } else {
                "the program did not run"
            };
            note(&format!("machine: {what}; console log: {}", report.log.display()));
            Ok(RUN_SHIFT + if begun { verdict::KERNEL } else { NO_START })
        }
    }
}

/// Sends the job, then standard input.
fn feed(job: Vec<u8>) -> Feed {
    Box::new(move |mut to: File| {
        // In the background, reading the terminal would stop this process. With SIGTTIN ignored, the read fails.
        // SAFETY: SIG_IGN is not a handler, so no code of ours runs in signal context.
        let _ = unsafe { nix::sys::signal::signal(nix::sys::signal::SIGTTIN, nix::sys::signal::SigHandler::SigIgn) };
        // An error means that the machine has ended.
        let _ = channel::feed(&mut to, &job, std::io::stdin());
    })
}
