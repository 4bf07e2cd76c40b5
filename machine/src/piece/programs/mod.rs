// SPDX-License-Identifier: GPL-2.0
//! Builds the programs that run in the guest: the C selftests, the kernel's own, the Rust ones, and the scripts. All
//! are static except those of selftests/real.

pub mod brought;
pub mod elfdeps;
pub mod kvm_selftests;
pub mod real;
pub mod software;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::piece::initramfs::Initramfs;
use crate::piece::kernel::{self, Kernel};
use crate::piece::programs::real::Real;
use crate::piece::programs::software::Software;
use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::{require, Log};
use crate::workshop::key::Key;
use crate::workshop::progress::{note, Step};
use crate::workshop::recipe;

/// The kernel's own tests that concern us, unchanged. `avx_64` is xstate.c for the AVX components.
const KERNELS_OWN: [&str; 2] = ["amx_64", "avx_64"];
/// Cargo packages with programs for the guest.
const RUST: [&str; 2] = ["selftests/rust", "xfdctl"];
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The test that runs the kernel's own test runner on our C selftests.
const KSELFTEST: &str = "run_kselftest";
/// The headers of selftests/c that the other folders use.
const C_HEADERS: [(&str, &[&str]); 2] = [("kvm", &["kvm.h", "machine.h"]), ("real", &["amx.h"])];
/// The script that loads and unloads the module.
const LOADER: &str = "xfd-module";
/// The folders with scripts.
const SCRIPTS: [&str; 7] = [
    "selftests/module",
    "selftests/arch",
    "selftests/real",
    "selftests/stress",
    "selftests/kvm",
    "selftests/packages",
    "machine/guest",
];

/// What programs are built with.
pub struct Builder<'a> {
    pub cache: &'a Cache,
    pub root: &'a Toolroot,
    pub kernel: &'a Kernel,
    pub software: &'a recipe::Software,
    pub tracers: &'a recipe::Software,
    pub project: &'a Path,
}

/// All programs, by their names in `/tests`.
pub struct Programs {
    by_name: BTreeMap<String, PathBuf>,
    /// The programs that the kernel's own runner runs.
    collection: Vec<String>,
    kselftest: PathBuf,
    real: Real,
    /// A guest gets these only if it runs them: the kernel's KVM tests, which are large, and what was added.
    only_asked: BTreeSet<String>,
    _pieces: Vec<Piece>,
}

impl Programs {
    /// The program called `name`.
    pub fn get(&self, name: &str) -> Option<&Path> {
        self.by_name.get(name).map(PathBuf::as_path)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Adds the programs in `dir`, for those guests that run them.
    pub fn add(&mut self, dir: &Path) -> Result<()> {
        let found = executables(dir)?;
        self.only_asked.extend(found.keys().cloned());
        self.by_name.extend(found);
        Ok(())
    }

    /// The names of the programs for a guest that runs `tests`: these, and everything that tests start.
    pub fn for_tests<'a>(&'a self, tests: &'a [String]) -> impl Iterator<Item = &'a str> {
        self.names().filter(|name| !self.only_asked.contains(*name) || tests.iter().any(|test| test == name))
    }

    /// Copies the program `name` into the guest, with everything that it needs.
    pub fn install(&self, name: &str, files: &mut Initramfs) -> Result<()> {
        let path = self.get(name).with_context(|| format!("there is no test program {name}"))?;
        files.file(&format!("tests/{name}"), path)?;
        if name == KSELFTEST {
            for part in ["run_kselftest.sh", "kselftest/runner.sh", "kselftest/ktap_helpers.sh"] {
                files.file(&format!("kselftest/{part}"), &self.kselftest.join(part))?;
            }
            let mut list = String::new();
            for program in &self.collection {
                files.file(&format!("tests/{program}"), &self.by_name[program])?;
                files.symlink(&format!("kselftest/xfd/{program}"), &format!("/tests/{program}"));
                list.push_str(&format!("xfd:{program}\n"));
            }
            // The emulator is slow.
            files.content("kselftest/xfd/settings", 0o644, "timeout=600\n");
            files.content("kselftest/kselftest-list.txt", 0o644, list);
        }
        Ok(())
    }

    /// Copies Debian software, or the libraries of a program of selftests/real, into the guest.
    pub fn install_software(&self, name: &str, files: &mut Initramfs) -> Result<()> {
        self.real.install(name, files)
    }
}

impl Builder<'_> {
    /// Builds everything that is out of date.
    pub fn programs(&self) -> Result<Programs> {
        let mut pieces = Vec::new();
        let mut by_name = BTreeMap::new();
        let mut collection = Vec::new();
        for folder in ["c", "arch", "kvm"] {
            if self.project.join("selftests").join(folder).join("Makefile").exists() {
                let piece = self.c_selftests(folder, None)?;
                let found = executables(piece.path())?;
                if folder == "c" {
                    collection.extend(found.keys().cloned());
                }
                by_name.extend(found);
                pieces.push(piece);
            }
        }
        let kernels_own = self.kernels_own()?;
        by_name.extend(executables(kernels_own.path())?);
        pieces.push(kernels_own);
        let kvm = self.kvm_selftests()?;
        let found = executables(kvm.path())?;
        let only_asked = found.keys().cloned().collect();
        by_name.extend(found);
        pieces.push(kvm);
        for package in RUST {
            by_name.extend(rust(self.cache, self.project, package)?);
        }
        let real = self.real()?;
        by_name.extend(executables(real.built.path())?);
        for folder in SCRIPTS {
            let scripts = executables(&self.project.join(folder))?;
            by_name.extend(scripts.into_iter().filter(|(name, _)| name != "init"));
        }
        by_name.insert(LOADER.into(), self.project.join("packaging").join(LOADER));
        let kselftest = self.kernel.tree().join("tools/testing/selftests");
        Ok(Programs { by_name, collection, kselftest, real, only_asked, _pieces: pieces })
    }

    /// Builds the C selftests in `folder`. Those of `real` are built against `software`.
    pub fn c_selftests(&self, folder: &str, software: Option<&Software>) -> Result<Piece> {
        let source = self.project.join("selftests");
        let mut key = Key::new()
            .add("kernel", self.kernel.key())
            .add("how", "make, strip")
            .tree("source", &source.join(folder))?;
        if let Some(software) = software {
            key = key.add("software", software.key());
        }
        for header in C_HEADERS.iter().filter(|(of, _)| *of == folder).flat_map(|(_, headers)| *headers) {
            key = key.file(header, &source.join("c").join(header))?;
        }
        let name = format!("programs-{folder}-{}", self.kernel.name());
        self.cache.piece(&name, &key.finish(), |dir| {
            self.kernel.whole()?;
            self.root.whole()?;
            let step = Step::start("programs", &format!("building selftests/{folder}"));
            let log = Log::create(self.cache.log(&name))?;
            let inside = self.root.inside().write(dir, "/xfd/out").read(&source, "/xfd/selftests");
            let inside = match software {
                Some(software) => software.shown(inside),
                None => inside,
            };
            let mut make = inside.read(&self.kernel.tree(), kernel::INSIDE).command("make");
            make.args(["-C", &format!("/xfd/selftests/{folder}"), "CC=gcc", "OUTPUT=/xfd/out"]);
            make.arg(format!("SOFTWARE={}", software::INSIDE));
            make.arg(format!("KSRC={}", kernel::INSIDE)).arg(format!("-j{}", crate::workshop::jobs()));
            log.run(&format!("building selftests/{folder}"), &mut make)?;
            if executables(dir)?.is_empty() {
                bail!("building selftests/{folder} made no program; full log: {}", log.path().display());
            }
            self.strip(&log, dir)?;
            step.done();
            Ok(())
        })
    }

    fn kernels_own(&self) -> Result<Piece> {
        let key = Key::new()
            .add("kernel", self.kernel.key())
            .add("how", "make, strip")
            .add("names", KERNELS_OWN.join(" "))
            .finish();
        self.cache.piece(&format!("programs-kernel-{}", self.kernel.name()), &key, |dir| {
            self.kernel.whole()?;
            self.root.whole()?;
            let step = Step::start("programs", "building the kernel's own selftests");
            let log = Log::create(self.cache.log("programs-kernel"))?;
            let inside = self.root.inside().write(dir, "/xfd/out").read(&self.kernel.tree(), kernel::INSIDE);
            let mut make = inside.command("make");
            make.arg("-C").arg(format!("{}/tools/testing/selftests/x86", kernel::INSIDE));
            make.args(["CC=gcc", "OUTPUT=/xfd/out", "EXTRA_CFLAGS=-static -DCAN_BUILD_64"]);
            make.args(KERNELS_OWN.map(|name| format!("/xfd/out/{name}")));
            log.run("building the kernel's own selftests", &mut make)?;
            self.strip(&log, dir)?;
            step.done();
            Ok(())
        })
    }

    /// Removes debug information from the programs, because the guest is slow to load them.
    pub fn strip(&self, log: &Log, dir: &Path) -> Result<()> {
        let mut strip = self.root.inside().write(dir, "/xfd/out").dir("/xfd/out").command("strip");
        log.run("strip", strip.arg("--strip-debug").args(executables(dir)?.keys()))
    }
}

/// Builds the programs of a cargo package for the guest, statically linked. Cargo knows what is out of date, but not
/// what is damaged.
pub fn rust(cache: &Cache, project: &Path, package: &str) -> Result<BTreeMap<String, PathBuf>> {
    require("cargo")?;
    require("cc")?;
    let _step = Step::start("programs", &format!("building {package}, if it has changed"));
    let name = package.replace('/', "-");
    // Cargo's own lock would not keep other runs away from the logs and the `.made` files.
    let lock = cache.exclusive("cargo-guest")?;
    let log = Log::create(cache.log(&format!("programs-{name}")))?;
    let folder = cache.workspace(&lock, "cargo-guest")?;
    let cargo = |what: &str| {
        let mut cargo = Command::new("cargo");
        cargo.args([what, "--release", "--locked", "--target", TARGET]);
        cargo.arg("--manifest-path").arg(project.join(package).join("Cargo.toml")).env("CARGO_TARGET_DIR", &folder);
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=symbols");
        cargo
    };
    let build = || {
        let mut cargo = cargo("build");
        let messages =
            log.output(&format!("building {package}"), cargo.arg("--message-format=json-render-diagnostics"))?;
        anyhow::Ok(cargo_executables(&messages))
    };
    let made = folder.join(format!("{name}.made"));
    let before = fs::read_to_string(&made).unwrap_or_default();
    let mut found = build()?;
    let differs = |built: &Built| known(&before, &built.path).is_some_and(|known| Some(known) != state(&built.path));
    let damaged = |built: &&Built| built.fresh && differs(built);
    if let Some(built) = found.iter().find(damaged) {
        note(&format!("programs: {} is not as it was built, building it again", built.path.display()));
        log.run("cargo clean", cargo("clean").args(["--package", &built.package]))?;
        found = build()?;
    }
    if found.is_empty() {
        bail!("building {package} made no program; full log: {}", log.path().display());
    }
    let lines: Vec<_> = found.iter().filter_map(|built| Some(state(&built.path)? + "\n")).collect();
    fs::write(&made, lines.concat()).with_context(|| format!("cannot write {}", made.display()))?;
    let name_of = |built: Built| Some((built.path.file_name()?.to_str()?.to_owned(), built.path));
    Ok(found.into_iter().filter_map(name_of).collect())
}

/// A program that cargo built: now, or before this (`fresh`).
#[derive(Debug, PartialEq, Eq)]
struct Built {
    path: PathBuf,
    /// Cargo's name for the package.
    package: String,
    fresh: bool,
}

/// A line with a program's size, modification time and path.
fn state(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    Some(format!("{} {}.{} {}", metadata.size(), metadata.mtime(), metadata.mtime_nsec(), path.display()))
}

/// The line of the program `path` among the saved ones.
fn known(states: &str, path: &Path) -> Option<String> {
    let end = format!(" {}", path.display());
    states.lines().find(|line| line.ends_with(&end)).map(str::to_owned)
}

/// The programs in cargo's messages.
fn cargo_executables(messages: &str) -> Vec<Built> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let built = messages.filter_map(|message| {
        Some(Built {
            path: message.get("executable")?.as_str()?.into(),
            package: message.get("package_id").and_then(|id| id.as_str()).unwrap_or_default().to_owned(),
            fresh: message.get("fresh").and_then(|fresh| fresh.as_bool()).unwrap_or_default(),
        })
    });
    built.collect()
}

/// The executable files in a folder; none if it does not exist.
pub fn executables(dir: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(dir) else { return Ok(found) };
    for entry in entries {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
            found.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_messages_name_the_programs() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/release/amx_demo\",\
                        \"package_id\":\"path+file:///p#1.0\",\"fresh\":true}\nnot json\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        let demo = Built { path: "/t/release/amx_demo".into(), package: "path+file:///p#1.0".into(), fresh: true };
        assert_eq!(cargo_executables(messages), [demo]);
    }

    #[test]
    fn a_program_truncated_after_its_build_is_built_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache")).unwrap();
        let package = dir.path().join("a b/small");
        fs::create_dir_all(package.join("src")).unwrap();
        let manifest = "[package]\nname = \"small\"\nversion = \"1.0.0\"\n[workspace]\n";
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        fs::write(package.join("Cargo.lock"), "version = 4\n[[package]]\nname = \"small\"\nversion = \"1.0.0\"\n")
            .unwrap();
        fs::write(package.join("src/main.rs"), "fn main() { print!(\"works\"); }\n").unwrap();
        let build = || rust(&cache, &dir.path().join("a b"), "small").unwrap().remove("small").unwrap();
        let path = build();
        let made = state(&path);
        assert_eq!(state(&build()), made);
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
        assert_eq!(Command::new(build()).output().unwrap().stdout, b"works");
    }

    #[test]
    fn only_executable_files_are_programs() {
        let dir = tempfile::tempdir().unwrap();
        for (name, mode) in [("prog", 0o755), ("prog.o", 0o644)] {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir(dir.path().join("folder")).unwrap();
        assert_eq!(executables(dir.path()).unwrap().into_keys().collect::<Vec<_>>(), ["prog"]);
        assert!(executables(&dir.path().join("none")).unwrap().is_empty());
    }
}
