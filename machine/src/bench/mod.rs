// SPDX-License-Identifier: GPL-2.0
//! `machine bench`: measures what AMX costs in the kernel, with the C code and with the module, in the same boot; or, on
//! a kernel into which the subsystem is built, with the C code and with that.

pub mod plot;
pub mod rows;
pub mod table;
pub mod targets;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::bench::rows::{Measured, Path as Who};
use crate::boot::console::Event;
use crate::boot::machine::{How, Machine, Settings};
use crate::boot::verdict::{self, FAIL, NO_START};
use crate::judge::silicon;
use crate::piece::programs::Programs;
use crate::piece::project::Project;
use crate::workshop::cache::Piece;
use crate::workshop::child::spawn;
use crate::workshop::progress::{note, Step};

/// The script that init runs in the guest, and the program that measures.
const SCRIPT: &str = "bench.sh";
const PROGRAM: &str = "amx_bench";
/// A program that the measuring program starts.
const HELPER: &str = "xfd_exec_chain";

/// One boot: its name, its machine, and the heading of its tables.
struct Part {
    name: &'static str,
    cpus: u8,
    fast_strings: bool,
    /// What the script measures, and how many times.
    cmdline: &'static str,
    title: &'static str,
}

const PARTS: [Part; 4] = [
    Part { name: "bench", cpus: 1, fast_strings: true, cmdline: "XFD_ROUNDS=3", title: "One CPU" },
    Part {
        name: "bench-4cpu",
        cpus: 4,
        fast_strings: true,
        cmdline: "XFD_BENCH=at-once XFD_ROUNDS=3",
        title: "Four CPUs",
    },
    Part {
        name: "bench-guests",
        cpus: 1,
        fast_strings: true,
        cmdline: "XFD_BENCH=guests XFD_ROUNDS=3",
        title: "Virtual CPUs",
    },
    Part {
        name: "bench-stores",
        cpus: 1,
        fast_strings: false,
        cmdline: "XFD_BENCH=first-use XFD_ROUNDS=2",
        title: "One CPU without fast strings",
    },
];

/// The same on a kernel into which the subsystem is built. The script switches between the two.
const BUILTIN: [Part; 2] = [
    Part { name: "builtin-bench", cpus: 1, fast_strings: true, cmdline: "XFD_ROUNDS=3", title: "One CPU, built in" },
    Part {
        name: "builtin-bench-guests",
        cpus: 1,
        fast_strings: true,
        cmdline: "XFD_BENCH=guests XFD_ROUNDS=3",
        title: "Virtual CPUs, built in",
    },
];

/// Measures on a kernel into which the subsystem is built, prints the tables, and writes the CSV file.
pub fn builtin(project: &Project) -> Result<u8> {
    let machine = Machine::prepare_builtin(project)?;
    let (_, programs) = machine.module_and_programs(false)?;
    match parts(&machine, &BUILTIN, None, &programs)? {
        Ok(all) => {
            print(&machine, &commit(&project.dir), &all);
            println!("Written: {}", write_csv(project, "bench-builtin.csv", &all)?.display());
            Ok(verdict::PASS)
        }
        Err(status) => Ok(status),
    }
}

/// Prepares everything, measures, prints the tables, and writes the CSV file and the plot.
pub fn bench(project: &Project) -> Result<u8> {
    let machine = Machine::prepare(project)?;
    let (module, programs) = machine.module_and_programs(true)?;
    let commit = commit(&project.dir);
    let mut all = match parts(&machine, &PARTS, module.as_ref(), &programs)? {
        Ok(all) => all,
        Err(status) => return Ok(status),
    };
    if silicon::has_amx() {
        let program = programs.get(PROGRAM).context("there is no program amx_bench")?;
        all.push(("This processor".to_owned(), on_this_processor(program)?));
    }
    print(&machine, &commit, &all);
    let csv = write_csv(project, "bench.csv", &all)?;
    let plot = csv.with_file_name("bench.svg");
    plot::write(&plot, &all[0].1, &commit)?;
    println!("Written: {} and {}", csv.display(), plot.display());
    Ok(verdict::PASS)
}

/// The title of each part, and what was measured.
type All = Vec<(String, Measured)>;

/// Runs the boots. If one fails, the inner error is the exit status of the whole command.
fn parts(machine: &Machine, parts: &[Part], module: Option<&Piece>, programs: &Programs) -> Result<Result<All, u8>> {
    let mut all = All::new();
    for part in parts {
        // The script loads the module itself.
        let mut files = machine.guest(&Settings::Tests(vec![SCRIPT.into()]), module, None)?;
        for name in [SCRIPT, PROGRAM, HELPER] {
            programs.install(name, &mut files)?;
        }
        match run(machine, &files, part)? {
            Ok(measured) => all.push((part.title.to_owned(), measured)),
            Err(status) => return Ok(Err(status)),
        }
    }
    Ok(Ok(all))
}

fn print(machine: &Machine, commit: &str, all: &All) {
    println!("Commit {commit}, Linux {}\n", machine.kernel.release());
    for (title, measured) in all {
        println!("{}", table::text(title, measured));
    }
    println!("{}", targets::text(all));
}

fn write_csv(project: &Project, name: &str, all: &All) -> Result<PathBuf> {
    let folder = project.cache.root().join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let csv = folder.join(name);
    std::fs::write(&csv, table::csv(all)).with_context(|| format!("cannot write {}", csv.display()))?;
    Ok(csv)
}

/// Runs one boot. If it fails, the inner error is the exit status of the whole command.
fn run(machine: &Machine, files: &crate::piece::initramfs::Initramfs, part: &Part) -> Result<Result<Measured, u8>> {
    let how = How {
        name: part.name,
        cpus: part.cpus,
        memory_mib: 1024,
        cmdline: part.cmdline,
        quiet: Duration::from_secs(600),
        total: Duration::from_secs(3600),
        show_console: false,
        fast_strings: part.fast_strings,
        with: &[],
        without: &[],
        terminal: None,
    };
    let step = Step::start(part.name, "measuring");
    let (mut said, mut ended, mut trouble) = (Vec::new(), None, None);
    let report = machine.boot(files, &how, |event| {
        trouble = trouble.take().or(event.trouble());
        match event {
            Event::Output(bytes) => said.extend(bytes),
            Event::End(_, status) => ended = Some(status),
            _ => {}
        }
    })?;
    drop(step);
    let said = String::from_utf8_lossy(&said);
    let log = machine.project.cache.log(part.name);
    std::fs::write(&log, said.as_bytes())?;
    if let Some(why) = verdict::reason(&report.end, &report.problems).or(trouble) {
        note(&format!("{}: {why}; console log: {}", part.name, report.log.display()));
        return Ok(Err(verdict::status(&report.end, &report.problems).unwrap_or(NO_START)));
    }
    if ended != Some(0) {
        let last = said.lines().rfind(|line| !line.starts_with("bench ")).unwrap_or("it printed nothing");
        note(&format!("{}: {SCRIPT} failed: {last}; its output: {}", part.name, log.display()));
        return Ok(Err(FAIL));
    }
    Measured::read(&said).map(Ok).with_context(|| format!("cannot read the output of {SCRIPT} in {}", log.display()))
}

/// Runs the same program on the host, with whatever handles the first use there.
fn on_this_processor(program: &Path) -> Result<Measured> {
    let _step = Step::start("host", "measuring on this processor");
    let mut command = Command::new(program);
    command.arg("rows").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let output = spawn(&mut command)?.wait_with_output()?;
    if !output.status.success() {
        bail!("{PROGRAM} failed on this processor: {}", output.status);
    }
    Measured::read(&String::from_utf8_lossy(&output.stdout))
}

/// The checkout's commit, with a `+` if there are uncommitted changes.
fn commit(dir: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(dir).args(args).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".into() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    commit + if changed { "+" } else { "" }
}

impl Who {
    /// The heading of its column.
    pub fn heading(self) -> &'static str {
        match self {
            Who::Stock => "C",
            Who::Module => "module",
            Who::Builtin => "built in",
        }
    }
}
