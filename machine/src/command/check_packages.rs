// SPDX-License-Identifier: GPL-2.0
//! Checks the Debian packages: lintian inspects them, and apt installs, upgrades and removes them in a fresh system.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::judge::style::ktap;
use crate::piece::kernel::{self};
use crate::piece::packages::{self, both, copy_system, debs, system};
use crate::piece::project::Project;
use crate::workshop::cache::Piece;
use crate::workshop::child::Log;
use crate::workshop::count::Count;
use crate::workshop::namespace::Inside;
use crate::workshop::progress::Step;

/// The name of this test in `machine check`.
pub const NAME: &str = "packages";
/// The name of the DKMS test in `machine check --long`.
pub const DKMS: &str = "dkms";

/// Runs a script of selftests/packages inside `root`, which also sees the components in `shown`.
fn run(project: &Project, root: &Path, shown: &[(&Piece, &str)], script: &str, args: &[&str]) -> Result<Count> {
    let mut inside = Inside::new(root).read(&project.dir.join("selftests/packages"), "/xfd/tests");
    for (piece, at) in shown {
        inside = inside.read(piece.path(), at);
    }
    let output = inside.command(&format!("/xfd/tests/{script}")).args(args).output()?;
    let text = [output.stdout, output.stderr].concat();
    let log = project.cache.log(&format!("packages-{script}"));
    fs::write(&log, &text).with_context(|| format!("cannot write {}", log.display()))?;
    Ok(ktap::count(script, &String::from_utf8_lossy(&text), output.status.code()))
}

/// Tests the DKMS package in a system with the tools that build a kernel. This takes minutes, and gigabytes.
///
/// # Errors
///
/// The packages cannot be built; no network; no space.
pub fn check_dkms(project: &Project) -> Result<Count> {
    let kernel = project.kernel()?;
    let packages = both(project, &kernel)?.old;
    let step = Step::start(DKMS, "building the module with DKMS");
    let log = Log::create(project.cache.log("packages-dkms"))?;
    let scratch = project.cache.scratch("dkms")?;
    let root = scratch.path().join("root");
    copy_system(kernel.root(), &log, &root)?;
    let source = format!("linux-source-{}", kernel::series(kernel.release()));
    let count = run(project, &root, &[(&packages, "/xfd/packages")], "dkms.sh", &[kernel.release(), &source]);
    step.done();
    count
}

/// Runs lintian, then installs, upgrades and removes the packages.
///
/// # Errors
///
/// The packages cannot be built. What is wrong with the packages themselves is in the count.
pub fn check(project: &Project) -> Result<Count> {
    let kernel = project.kernel()?;
    let both = both(project, &kernel)?;
    let system = system(project)?;
    let step = Step::start(NAME, "running lintian");
    let log = Log::create(project.cache.log("packages-life"))?;
    let mut count = Count::default();
    lintian(project, &log, &both.old, &mut count)?;

    step.now("installing, upgrading and removing");
    let scratch = project.cache.scratch("packages")?;
    let root = scratch.path().join("root");
    copy_system(&system, &log, &root)?;
    let shown = [(&both.old, "/xfd/old"), (&both.new, "/xfd/new")];
    count.add(run(project, &root, &shown, "life.sh", &[kernel.release(), &both.version, &both.next_version])?);
    step.done();
    Ok(count)
}

/// Runs lintian; anything that our overrides do not cover is a failure.
fn lintian(project: &Project, log: &Log, packages: &Piece, count: &mut Count) -> Result<()> {
    let inside = packages::root(project)?.inside().read(packages.path(), "/xfd/packages");
    let mut lintian = inside.command("lintian");
    lintian.args(["--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning"]);
    for package in debs(packages.path())? {
        lintian.arg(format!("/xfd/packages/{}", package.file_name().unwrap_or_default().to_string_lossy()));
    }
    let said = log.output("lintian", &mut lintian);
    match said {
        Ok(said) if said.trim().is_empty() => count.pass(),
        Ok(said) => said.lines().for_each(|line| count.fail(format!("lintian: {line}"))),
        Err(error) => count.fail(format!("{error:#}")),
    }
    Ok(())
}
