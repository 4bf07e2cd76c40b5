// SPDX-License-Identifier: GPL-2.0
//! Processes that dump core: a test starts its own program again, and that one dies as told.

use crate::core_file::CoreFile;
use crate::ktap::{self, Outcome, Test};
use anyhow::{ensure, Context};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, process};
use xcomp::Feature;

/// More bytes than any of our core files.
const ROOM: u64 = 16 << 20;
/// As the first argument: die in the way given by the second one.
const DIE: &str = "--die";
/// SIGABRT, with a core dump.
const DUMPED: i32 = 6 | 0x80;

/// The main function of such a program: runs its tests, or dies, with as small a core as possible.
pub fn run(tests: &[Test], die: fn(&str) -> anyhow::Result<()>) -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(DIE) {
        return ktap::run(tests);
    }
    match small_core().and_then(|()| die(&args.next().unwrap_or_default())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("# {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn small_core() -> anyhow::Result<()> {
    fs::write("/proc/self/coredump_filter", "0")?;
    let maximum = getrlimit(Resource::Core).maximum;
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Core, most)?)
}

/// The reason why we cannot get at our core files, if any. Changes no settings.
///
/// # Errors
///
/// The kernel's settings cannot be read.
pub fn without_cores() -> anyhow::Result<Option<Outcome>> {
    let skip = |why: String| Ok(Some(Outcome::Skipped(why)));
    if !xcomp::supported()?.contains(Feature::TILE_DATA) {
        return skip("no AMX on this machine".into());
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    let pattern = pattern.trim();
    if pattern.is_empty() || pattern.starts_with(['|', '@']) || pattern.contains('/') {
        return skip(format!(
            "cores go to {pattern:?}: needs a plain name in /proc/sys/kernel/core_pattern"
        ));
    }
    if let Some(most @ ..ROOM) = getrlimit(Resource::Core).maximum {
        return skip(format!(
            "core files are limited to {most} bytes (ulimit -H -c): they need {ROOM}"
        ));
    }
    Ok(None)
}

/// A folder removed with its contents when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("xfd-core-{name}-{}", process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Folder(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The core file of a process that dies as told by `how`.
///
/// # Errors
///
/// The process ended in another way, or left no core file.
pub fn core_of(how: &str) -> anyhow::Result<CoreFile> {
    let folder = Folder::new(how)?;
    let status = Command::new(std::env::current_exe()?)
        .args([DIE, how])
        .current_dir(folder.path())
        .status()
        .context("starting this program again")?;
    ensure!(
        status.into_raw() == DUMPED,
        "{how}: ended with {status}, expected SIGABRT and a core"
    );
    let mut files = fs::read_dir(folder.path())?;
    let file = files.next().context("no core file")??;
    CoreFile::read(&fs::read(file.path())?)
}
