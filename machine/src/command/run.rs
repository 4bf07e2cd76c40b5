// SPDX-License-Identifier: GPL-2.0
//! `machine run`: a program of the user's in the machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::boot::console::Shown;
use crate::boot::machine::{check_cpus, quote, How, Machine, Settings};
use crate::boot::verdict::{self, NO_START, RUN_SHIFT};
use crate::piece::initramfs::Initramfs;
use crate::piece::module::MODULE;
use crate::piece::programs::elfdeps::needed;
use crate::piece::project::Project;
use crate::workshop::key::files_below;
use crate::workshop::progress::note;

/// What `run` was asked for.
pub struct Options {
    pub cpus: u8,
    pub memory_mib: u32,
    pub module: bool,
    pub cmdline: String,
    /// The program waits for a debugger.
    pub debugger: bool,
    /// Features that the CPU has on request.
    pub features: Vec<String>,
    pub show_console: bool,
    pub timeout: Option<u64>,
    pub with: Vec<PathBuf>,
    /// The program, then its arguments.
    pub program: Vec<String>,
}

/// Runs the program and shows what it prints.
///
/// # Returns
///
/// Its own exit status; 200 + status if the machine failed (see `verdict`).
pub fn run(project: &Project, options: &Options) -> Result<u8> {
    check_cpus(options.cpus)?;
    let [name, ..] = options.program.as_slice() else { bail!("no program is named") };
    let own = find(name);
    match &own {
        Some(path) => drop(needed(path)?),
        None if name.contains('/') => bail!("there is no program {name}"),
        None => {}
    }
    let mut machine = Machine::prepare(project)?;
    if options.debugger {
        machine = machine.with_debugger()?;
    }
    let (module, path) = match own {
        Some(path) => (options.module.then(|| machine.module(&machine.kernel)).transpose()?, path),
        None => {
            let (module, programs) = machine.module_and_programs(options.module)?;
            let found = programs.get(name);
            let missing = || format!("there is no program {}: no such file, not in PATH, no test of that name", name);
            (module, found.with_context(missing)?.to_path_buf())
        }
    };
    let mut files = machine.guest(&Settings::Run, module.as_ref(), module.as_ref().map(|_| MODULE))?;
    add(&mut files, &path, options)?;
    let how = How {
        name: "run",
        cpus: options.cpus,
        memory_mib: options.memory_mib,
        cmdline: &options.cmdline,
        quiet: Duration::from_secs(options.timeout.unwrap_or(600)),
        total: options.timeout.map_or(Duration::MAX, Duration::from_secs),
        show_console: options.show_console,
        fast_strings: false,
        with: &options.features,
        without: &[],
        terminal: None,
    };
    let mut shown = Shown::default();
    let report = machine.boot(&files, &how, |event| shown.take(event))?;
    let Shown { status, trouble } = shown;
    if let Some(reason) = verdict::reason(&report.end, &report.problems) {
        note(&format!("machine: {reason}; console log: {}", report.log.display()));
    }
    if let Some(code) = verdict::status(&report.end, &report.problems) {
        return Ok(RUN_SHIFT + code);
    }
    match (trouble, status) {
        (Some(why), _) => {
            note(&format!("machine: {why}; console log: {}", report.log.display()));
            Ok(RUN_SHIFT + NO_START)
        }
        (None, Some(status)) => Ok(u8::try_from(status).unwrap_or(u8::MAX)),
        (None, None) => bail!("the program did not run; console log: {}", report.log.display()),
    }
}

/// A file of the host: a path, or a name in PATH.
fn find(program: &str) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.is_file() {
        return Some(path.to_path_buf());
    }
    if program.contains('/') {
        return None;
    }
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Puts program, libraries, further files and the script that starts it into the guest.
fn add(files: &mut Initramfs, program: &Path, options: &Options) -> Result<()> {
    let name = program.file_name().context("the program has no file name")?.to_string_lossy().into_owned();
    let at = format!("job/bin/{name}");
    let content = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    files.content(&at, 0o755, content);
    let mut folders: Vec<String> = Vec::new();
    for file in needed(program)? {
        files.file(file.to_string_lossy().trim_start_matches('/'), &file)?;
        let folder = file.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    for extra in &options.with {
        let base = extra.canonicalize().with_context(|| format!("cannot find {}", extra.display()))?;
        let parent = base.parent().unwrap_or(Path::new("/")).to_path_buf();
        let all = if base.is_dir() { files_below(&base)? } else { vec![base] };
        for file in all {
            files.file(&format!("root/{}", file.strip_prefix(&parent)?.display()), &file)?;
        }
    }
    let args: Vec<_> = options.program[1..].iter().map(|arg| quote(arg)).collect();
    let mut script = String::new();
    if !folders.is_empty() {
        script.push_str(&format!("export LD_LIBRARY_PATH={}\n", quote(&folders.join(":"))));
    }
    script.push_str(&format!("exec {} {}\n", quote(&format!("/{at}")), args.join(" ")));
    files.content("job/run", 0o644, script);
    Ok(())
}
