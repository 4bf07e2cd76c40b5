// SPDX-License-Identifier: GPL-2.0
//! Builds a guest that is a Debian system, with systemd as its init and our packages installed by apt.

use anyhow::{Context, Result};

use crate::boot::machine::{Machine, Settings};
use crate::piece::initramfs::Initramfs;
use crate::piece::packages::{self, debs, Both};
use crate::piece::programs::Programs;
use crate::workshop::child::Log;
use crate::workshop::key::Key;
use crate::workshop::namespace::Inside;
use crate::workshop::progress::Step;

const STEP: &str = include_str!("../../steps/installed.sh");
/// The programs that this guest's test scripts start.
const STARTED: [&str; 5] = ["xfd_lib.sh", "run_tests", "xcomp_api", "amx_matmul", "amx_load"];
const SERVICE: &str = "xfd-tests.service";

/// Starts the tests, and turns off units that take time and are not needed.
pub const CMDLINE: &str = "systemd.wants=xfd-tests.service systemd.show_status=no systemd.condition_needs_update=no \
                           systemd.getty_auto=no systemd.mask=getty.target systemd.mask=timers.target \
                           systemd.mask=systemd-logind.service";

/// The guest's file system, for `tests`. Packages of a later version are in `/packages`.
///
/// # Errors
///
/// The packages cannot be built or installed; no network; no space.
pub fn guest(machine: &Machine, programs: &Programs, tests: &[String]) -> Result<Initramfs> {
    let project = machine.project;
    let both = packages::both(project, &machine.kernel)?;
    let system = packages::system(project)?;
    let name = format!("installed-{}", machine.kernel.name());
    let release = machine.kernel.release();
    let mut key = Key::new().add("system", system.key()).add("step", STEP).add("release", release);
    for package in debs(both.old.path())? {
        key = key.file("package", &package)?;
    }
    let piece = project.cache.piece(&name, &key.finish(), |dir| {
        let step = Step::start(&name, "installing our packages in a Debian system");
        let log = Log::create(project.cache.log(&name))?;
        let root = dir.join("root");
        packages::copy_system(&system, &log, &root)?;
        let inside = Inside::new(&root).read(both.old.path(), "/xfd/packages");
        log.run("installing the packages", &mut inside.script(STEP, &[release]))?;
        step.done();
        Ok(())
    })?;

    piece.whole()?;
    let mut files = Initramfs::default();
    files.tree(&piece.path().join("root"))?;
    files.symlink("init", "/usr/lib/systemd/systemd");
    files.content("job/settings", 0o644, Settings::Tests(tests.to_vec()).text(None));
    files.file(&format!("usr/lib/systemd/system/{SERVICE}"), &project.dir.join("machine/guest").join(SERVICE))?;
    files.file("usr/bin/busybox", &machine.root.file("/usr/bin/busybox"))?;
    files.symlink("usr/bin/usleep", "busybox");
    for name in tests.iter().map(String::as_str).chain(STARTED) {
        programs.install(name, &mut files)?;
    }
    later(&both, release, &mut files)?;
    Ok(files)
}

/// Adds the packages that its tests upgrade to.
fn later(both: &Both, release: &str, files: &mut Initramfs) -> Result<()> {
    for package in debs(both.new.path())? {
        let name = package.file_name().context("a package has no name")?.to_string_lossy().into_owned();
        if name.starts_with("xfd-tools") || name.contains(release) {
            files.file(&format!("packages/{name}"), &package)?;
        }
    }
    Ok(())
}
