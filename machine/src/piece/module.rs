// SPDX-License-Identifier: GPL-2.0
//! Builds the kernel module, by kbuild in the toolchain root against the prepared tree.
//!
//! The sources are mirrored into the cache and built there, so the checkout stays clean and later builds are
//! incremental.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};
use nix::fcntl::Flock;
use serde::Deserialize;

use crate::piece::kernel::{self, Kernel};
use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::Log;
use crate::workshop::key::{files_below, Key};
use crate::workshop::namespace::remove_tree;
use crate::workshop::progress::Step;

/// The files and folders of the project that belong to the module.
const SOURCES: [&str; 10] = [
    "VERSION",
    "Makefile",
    "Kbuild",
    "Kconfig",
    "rust",
    "selftests/module/cr0_ts",
    "selftests/module/interrupts",
    "selftests/module/rival",
    "include",
    "samples",
];
/// The module.
pub const MODULE: &str = "xfd.ko";
/// The module with CONFIG_XFD_FAULTS.
pub const WITH_FAULTS: &str = "xfd_faults.ko";
/// All modules that are built: ours, and those that only tests load.
pub const PRODUCTS: [&str; 6] = [MODULE, WITH_FAULTS, "cr0_ts.ko", "interrupts.ko", "rival.ko", "kernel_tiles.ko"];
/// The build folder, as it appears in the root.
pub const BUILD: &str = "/xfd/build";

/// What the module is built with.
pub struct Builder<'a> {
    pub cache: &'a Cache,
    pub kernel: &'a Kernel,
    pub project: &'a Path,
}

impl Builder<'_> {
    /// Builds the module and those that only tests load: the `.ko` files of the component.
    pub fn module(&self) -> Result<Piece> {
        let key = self.key()?;
        let name = format!("module-{}", self.kernel.name());
        self.cache.piece(&name, &key, |dir| {
            self.kernel.whole()?;
            let step = Step::start(&name, "building xfd.ko");
            let log = Log::create(self.cache.log(&name))?;
            let lock = self.cache.exclusive("module-build")?;
            let build = self.mirror(&lock, "module")?;
            log.run("building the module", self.make(&build).args(["CONFIG_XFD_SELFTEST=m", "modules"]))?;
            let faults = self.mirror(&lock, "module-faults")?;
            self.unchanged_since(&key)?;
            log.run("building it with fault injection", self.make(&faults).args(["CONFIG_XFD_FAULTS=y", "modules"]))?;
            for product in PRODUCTS {
                let (build, made) = if product == WITH_FAULTS { (&faults, MODULE) } else { (&build, product) };
                let found: Vec<_> = files_below(build)?.into_iter().filter(|f| f.ends_with(made)).collect();
                let [ko] = found.as_slice() else {
                    bail!(
                        "building the module made {} files called {made} instead of one; full log: {}",
                        found.len(),
                        log.path().display()
                    );
                };
                fs::copy(ko, dir.join(product))?;
            }
            step.done();
            Ok(())
        })
    }

    /// Builds the module alone, without the tests' modules.
    ///
    /// # Errors
    ///
    /// It does not build; no space.
    pub fn module_alone(&self) -> Result<Piece> {
        let key = self.key()?;
        let name = format!("module-{}-alone", self.kernel.name());
        self.cache.piece(&name, &key, |dir| {
            self.kernel.whole()?;
            let step = Step::start(&name, &format!("building xfd.ko for {}", self.kernel.release()));
            let log = Log::create(self.cache.log(&name))?;
            let lock = self.cache.exclusive("module-build")?;
            let build = self.mirror(&lock, "module")?;
            self.unchanged_since(&key)?;
            log.run("building the module", self.make(&build).arg("modules"))?;
            fs::copy(build.join(MODULE), dir.join(MODULE)).context("building the module made no module")?;
            step.done();
            Ok(())
        })
    }

    /// Fails if the sources changed since `key`, under which the result is stored, was computed.
    fn unchanged_since(&self, key: &str) -> Result<()> {
        if self.key()? != key {
            bail!("the module's sources changed while they were being copied; run this again");
        }
        Ok(())
    }

    fn key(&self) -> Result<String> {
        let mut key = Key::new().add("kernel", self.kernel.key());
        for file in self.sources()? {
            key = key.file(&file.to_string_lossy(), &self.project.join(&file))?;
        }
        Ok(key.finish())
    }

    /// Runs make with these arguments in the build folder, with its output on the terminal.
    pub fn run_make(&self, args: &[String]) -> Result<bool> {
        self.kernel.whole()?;
        let lock = self.cache.exclusive("module-build")?;
        let build = self.mirror(&lock, "module")?;
        Ok(crate::workshop::child::spawn(self.make(&build).args(args))?.wait()?.success())
    }

    fn make(&self, build: &Path) -> Command {
        let inside =
            self.kernel.root().inside().write(build, BUILD).read(&self.kernel.tree(), kernel::INSIDE).dir(BUILD);
        let mut command = inside.command("make");
        command.arg(format!("-j{}", crate::workshop::jobs())).arg(format!("KDIR={}", kernel::INSIDE));
        command.args(self.kernel.make_args());
        command
    }

    fn sources(&self) -> Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        for name in SOURCES {
            let path = self.project.join(name);
            if path.is_file() {
                found.insert(PathBuf::from(name));
            } else if path.is_dir() {
                for file in files_below(&path)? {
                    found.insert(file.strip_prefix(self.project)?.to_path_buf());
                }
            } else {
                bail!("{} is missing: the module cannot be built", path.display());
            }
        }
        Ok(found)
    }

    /// Brings the sources in the build folder `name` up to date, and returns its path. Removes the build folders of
    /// older trees of this kernel.
    fn mirror(&self, lock: &Flock<File>, name: &str) -> Result<PathBuf> {
        let of_kernel = format!("{name}-{}", self.kernel.name());
        for other in fs::read_dir(self.cache.workspace(lock, &of_kernel)?)? {
            let other = other?;
            if other.file_name() != self.kernel.key() {
                remove_tree(&other.path())?;
            }
        }
        let build = self.cache.workspace(lock, &format!("{of_kernel}/{}", self.kernel.key()))?;
        mirror(self.project, &build, &self.sources()?)?;
        Ok(build)
    }
}

/// Makes `to` have exactly the listed files of `from`, in addition to what a build created there. Unchanged files are
/// left alone, so that make does not rebuild them.
fn mirror(from: &Path, to: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    let list = to.join(".mirrored");
    let before = fs::read_to_string(&list).unwrap_or_default();
    for old in before.lines().map(PathBuf::from).filter(|old| !files.contains(old)) {
        let _ = fs::remove_file(to.join(old));
    }
    for file in files {
        let (source, target) = (from.join(file), to.join(file));
        let content = fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
        if fs::read(&target).is_ok_and(|old| old == content) {
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&source, &target).with_context(|| format!("cannot write {}", target.display()))?;
    }
    let names: Vec<_> = files.iter().map(|f| f.to_string_lossy()).collect();
    fs::write(&list, names.join("\n")).with_context(|| format!("cannot write {}", list.display()))
}

/// Whether the module is in the guest, and what loads it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Module {
    /// Not there.
    #[default]
    Absent,
    /// There, for the tests to load.
    Present,
    /// Loaded before the tests and unloaded after them.
    Loaded,
    /// The same, with the build that has fault injection.
    LoadedWithFaults,
}

impl Module {
    /// Its part of a saved machine's name.
    pub fn name(self) -> &'static str {
        match self {
            Module::Absent => "",
            Module::Present => "-present",
            Module::Loaded => "-module",
            Module::LoadedWithFaults => "-faults",
        }
    }

    /// The file of the module that is loaded before the tests and unloaded after them.
    pub fn loaded(self) -> Option<&'static str> {
        match self {
            Module::Absent | Module::Present => None,
            Module::Loaded => Some(MODULE),
            Module::LoadedWithFaults => Some(WITH_FAULTS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_follows_changes_and_keeps_products() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        fs::create_dir(from.path().join("rust")).unwrap();
        fs::write(from.path().join("rust/a"), "1").unwrap();
        fs::write(from.path().join("rust/b"), "1").unwrap();
        mirror(from.path(), to.path(), &files(&["rust/a", "rust/b"])).unwrap();
        fs::write(to.path().join("rust/a.o"), "product").unwrap();
        let time = fs::metadata(to.path().join("rust/a")).unwrap().modified().unwrap();

        fs::write(from.path().join("rust/b"), "2").unwrap();
        mirror(from.path(), to.path(), &files(&["rust/a", "rust/b"])).unwrap();
        assert_eq!(fs::metadata(to.path().join("rust/a")).unwrap().modified().unwrap(), time);
        assert_eq!(fs::read(to.path().join("rust/b")).unwrap(), b"2");

        mirror(from.path(), to.path(), &files(&["rust/a"])).unwrap();
        assert!(!to.path().join("rust/b").exists());
        assert!(to.path().join("rust/a.o").exists());
    }
}
