// SPDX-License-Identifier: GPL-2.0
//! Prepares a stock kernel: its image as shipped, and a source tree whose Rust metadata was rebuilt with the shipped
//! configuration and compilers.

pub mod builtin;
pub mod debug;
pub mod kallsyms;
pub mod kconfig;
pub mod relied_on;
pub mod symbols;
pub mod upstream;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::Log;
use crate::workshop::key::Key;
use crate::workshop::progress::{note, Step};
use crate::workshop::recipe;

const FETCH: &str = include_str!("../../../steps/kernel-fetch.sh");
const PREPARE: &str = include_str!("../../../steps/kernel-prepare.sh");

/// The space that a prepared kernel needs, with the downloaded archives, in bytes.
const SIZE: u64 = 1_500_000_000;

/// Where the prepared tree appears in the root.
pub const INSIDE: &str = "/xfd/kernel";

/// A prepared kernel.
pub struct Kernel {
    piece: Piece,
    root: Toolroot,
    key: String,
    release: String,
    name: String,
    make_args: Vec<String>,
}

/// A version of a kernel in the archive.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    /// `linux-source-7.2`
    source: String,
    /// Debian version.
    version: String,
    /// The output of `uname -r`.
    release: String,
}

/// The error that the archive does not have a kernel, or no longer has it, or that the recipe does not name it.
#[derive(Debug)]
pub struct NotInArchive(pub String);

impl fmt::Display for NotInArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotInArchive {}

impl Kernel {
    /// Downloads and prepares a kernel of the recipe, unless it is up to date. `root` is the toolroot that it names,
    /// and is kept for building modules.
    ///
    /// # Errors
    ///
    /// [`NotInArchive`]; the configuration or a compiler differs from the shipped kernel's; no network; no space.
    pub fn prepare(cache: &Cache, root: Toolroot, recipe: &recipe::Kernel, all: &recipe::Kernels) -> Result<Kernel> {
        // Which series is the newest may change from day to day.
        let newest = recipe.series.is_empty() && recipe.release.is_none();
        let series = if newest { newest_series(cache, &root)? } else { recipe.series.clone() };
        let recipe = &recipe::Kernel { series, ..recipe.clone() };
        let key = Key::new()
            .add("toolroot", root.key())
            .add("steps", [FETCH, PREPARE].concat())
            .add("series", &recipe.series)
            .add("flavour", &recipe.flavour)
            .add("release", recipe.release.as_deref().unwrap_or_default())
            .add("leave out", all.leave_out.join(" "))
            .add("modules", all.modules.join(" "))
            .finish();
        let piece =
            cache.piece(&format!("kernel-{}", recipe.name), &key, |dir| make(cache, &root, recipe, all, dir))?;
        let cc = compiler(&read_config(&piece.path().join("config.shipped"))?)?.command;
        Kernel::of(piece, root, key, &recipe.name, compilers(&cc).into())
    }

    /// The kernel in a complete component, built in `root`.
    pub fn of(piece: Piece, root: Toolroot, key: String, name: &str, make_args: Vec<String>) -> Result<Kernel> {
        let release = fs::read_to_string(piece.path().join("release"))?.trim().to_owned();
        Ok(Kernel { piece, root, key, release, name: name.to_owned(), make_args })
    }

    /// Fails if source or compilers are not as they were built: for the steps that use them.
    ///
    /// # Errors
    ///
    /// [`Damaged`](crate::workshop::manifest::Damaged).
    pub fn whole(&self) -> Result<()> {
        self.root.whole()?;
        self.piece.whole()
    }

    /// Its name in the recipe; the names of components that are built for this kernel end in it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The root in which the kernel and its modules are built.
    pub fn root(&self) -> &Toolroot {
        &self.root
    }

    /// The arguments that tell its makefiles the compilers.
    pub fn make_args(&self) -> &[String] {
        &self.make_args
    }

    /// The content key of what the tree was built from.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The output of `uname -r`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The prepared source tree.
    pub fn tree(&self) -> PathBuf {
        self.piece.path().join("tree")
    }

    /// The kernel's image.
    pub fn image(&self) -> PathBuf {
        self.piece.path().join("vmlinuz")
    }

    /// The folder that has the kernel modules named in the recipe.
    pub fn modules(&self) -> PathBuf {
        self.piece.path().join("modules")
    }
}

fn make(cache: &Cache, root: &Toolroot, recipe: &recipe::Kernel, all: &recipe::Kernels, dir: &Path) -> Result<()> {
    root.whole()?;
    let name = format!("kernel-{}", recipe.name);
    cache.room(&name, SIZE)?;
    let step = Step::start(&name, "asking the archive for versions");
    let log = Log::create(cache.log(&name))?;
    root.update_apt(cache, &log)?;
    let version = match &recipe.release {
        None => newest(root, &log, recipe)?,
        Some(release) => {
            let (source, version) = source_of(root, &log, release)?;
            Version { source, version, release: release.clone() }
        }
    };

    step.now(&format!("downloading and unpacking {} {}", version.source, version.version));
    let args =
        [&version.source, &version.version, &version.release, &all.leave_out.join(" "), &all.modules.join(" ")];
    log.run("fetching the kernel", &mut root.inside().write(dir, INSIDE).script(FETCH, &args.map(String::as_str)))?;

    let tree = dir.join("tree");
    let shipped = read_config(&dir.join("config.shipped"))?;
    let cc = check_compilers(root, &log, &shipped)?;

    step.now(&format!("building the Rust metadata of {}", version.release));
    let mut config = root.inside().write(&tree, INSIDE).dir(INSIDE).command("make");
    log.run("make olddefconfig", config.args(compilers(&cc)).arg("olddefconfig"))?;
    let differences = kconfig::differences(&shipped, &read_config(&tree.join(".config"))?);
    if !differences.is_empty() {
        bail!(
            "the kernel's configuration changed in the toolchain root, so struct layouts may differ: {}",
            differences.join(", ")
        );
    }
    let jobs = crate::workshop::jobs().to_string();
    let mut args = vec![version.release.as_str(), &jobs];
    let compilers = compilers(&cc);
    args.extend(compilers.iter().map(String::as_str));
    let mut prepare = root.inside().write(&tree, INSIDE).script(PREPARE, &args);
    log.run("make prepare modules_prepare", &mut prepare)?;
    step.done();
    Ok(())
}

/// A compiler that a configuration names.
struct Compiler {
    /// `x86_64-linux-gnu-gcc-14`
    command: String,
    /// The first line of its output for `--version`.
    version: String,
}

fn compiler(config: &kconfig::Config) -> Result<Compiler> {
    let version =
        kconfig::string(config, "CONFIG_CC_VERSION_TEXT").context("the kernel's configuration names no compiler")?;
    let command = version.split_whitespace().next().context("the kernel's compiler has no name")?;
    Ok(Compiler { command: command.to_owned(), version: version.to_owned() })
}

/// The compilers for make. The build's own programs need the same compiler by its short name.
fn compilers(cc: &str) -> [String; 2] {
    [format!("CC={cc}"), format!("HOSTCC={}", cc.trim_start_matches("x86_64-linux-gnu-"))]
}

/// The kernel's compiler. Fails unless `root` has the same compiler and the same rustc.
fn check_compilers(root: &Toolroot, log: &Log, shipped: &kconfig::Config) -> Result<String> {
    let cc = compiler(shipped)?;
    let rustc = kconfig::string(shipped, "CONFIG_RUSTC_VERSION_TEXT").context("the kernel is built without Rust")?;
    for (command, wanted) in [(cc.command.as_str(), cc.version.as_str()), ("rustc", rustc)] {
        let found = log.output("--version", root.inside().command(command).arg("--version"));
        let found = found.with_context(|| {
            format!(
                "the kernel was built with {wanted}, which toolroot {} lacks: add it in machine/recipe.toml",
                root.name()
            )
        })?;
        let found = found.lines().next().unwrap_or_default().trim();
        if found != wanted {
            bail!(
                "the kernel was built with {wanted}, but toolroot {name} has {found}: no metadata can be built. If the \
                                 archive has newer compilers now, machine clean toolroot-{name} removes the old root",
                name = root.name()
            );
        }
    }
    Ok(cc.command)
}

fn read_config(path: &Path) -> Result<kconfig::Config> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(kconfig::parse(&text))
}

/// The newest kernel of the series whose source and headers the archive has in the same version.
fn newest(root: &Toolroot, log: &Log, recipe: &recipe::Kernel) -> Result<Version> {
    let ask = |args: &[&str]| log.output("apt-cache", root.inside().command("apt-cache").args(args));
    let has = sources(root, log)?;
    let wanted = format!("linux-source-{}", recipe.series);
    for source in has.iter().filter(|source| **source == wanted) {
        for version in versions(&ask(&["madison", source])?, source) {
            let upstream = version.split('-').next().unwrap_or_default().replace('.', "\\.");
            let pattern = format!("^linux-headers-{upstream}([^0-9.].*)?-{}$", recipe.flavour);
            for line in ask(&["search", "--names-only", &pattern])?.lines() {
                let package = line.split_whitespace().next().unwrap_or_default();
                let release = package.trim_start_matches("linux-headers-").to_owned();
                // The names of the other flavours also end in `amd64`.
                if flavour_of(&release) == recipe.flavour
                    && versions(&ask(&["madison", package])?, package).contains(&version)
                {
                    return Ok(Version { source: source.clone(), version, release });
                }
            }
        }
    }
    let has = if has.is_empty() { "no kernel source".to_owned() } else { has.join(", ") };
    Err(NotInArchive(format!(
        "the Debian archive ({}) has no kernel {} for {}; it has {has}",
        root.name(),
        recipe.series,
        recipe.flavour
    ))
    .into())
}

/// The archive's packages with kernel source, the newest series first.
fn sources(root: &Toolroot, log: &Log) -> Result<Vec<String>> {
    let search = ["search", "--names-only", "^linux-source-[0-9.]+$"];
    let all = log.output("apt-cache", root.inside().command("apt-cache").args(search))?;
    let mut has: Vec<_> = all.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
    has.sort_by_key(|source| std::cmp::Reverse(series_of(source)));
    Ok(has)
}

/// The newest series in the archive of `root`.
///
/// # Errors
///
/// [`NotInArchive`].
pub fn newest_series(cache: &Cache, root: &Toolroot) -> Result<String> {
    let log = Log::create(cache.log("kernel-newest"))?;
    // Go on without the network: the kernel may already be in the cache.
    if root.update_apt(cache, &log).is_err() {
        note(&format!("cannot reach the archive ({}): using the package lists from last time", root.name()));
    }
    let source = sources(root, &log)?.into_iter().next();
    let none = || NotInArchive(format!("the Debian archive ({}) has no kernel source", root.name()));
    Ok(source.ok_or_else(none)?.trim_start_matches("linux-source-").to_owned())
}

/// `linux-source-7.2` becomes 7 and 2.
fn series_of(source: &str) -> Vec<u32> {
    source.trim_start_matches("linux-source-").split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// The flavour of a release: `rt-amd64` of `7.2.12+deb13-rt-amd64`, `amd64` of `7.2.12-amd64`.
fn flavour_of(release: &str) -> &str {
    release.split_once('-').map_or("", |(_, flavour)| flavour)
}

/// The package with the source of the kernel `release`, and its version.
pub fn source_of(root: &Toolroot, log: &Log, release: &str) -> Result<(String, String)> {
    let headers = format!("linux-headers-{release}");
    let madison = log.output("apt-cache", root.inside().command("apt-cache").args(["madison", &headers]))?;
    let version = versions(&madison, &headers).into_iter().next();
    let none = || NotInArchive(format!("the Debian archive ({}) no longer has {headers}", root.name()));
    let version = version.ok_or_else(none)?;
    Ok((format!("linux-source-{}", series(release)), version))
}

/// The series of a release: 7.2 of `7.2.12+deb13-amd64`.
pub fn series(release: &str) -> String {
    release.split(['.', '-', '+']).take(2).collect::<Vec<_>>().join(".")
}

/// The versions of `package` in the output of `apt-cache madison`, in its order: newest first.
fn versions(madison: &str, package: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in madison.lines().filter(|line| line.contains("Packages")) {
        let fields: Vec<_> = line.split('|').map(str::trim).collect();
        if let [name, version, ..] = fields.as_slice() {
            if *name == package && !found.iter().any(|v| v == version) {
                found.push((*version).to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flavours_and_series_are_whole_words() {
        assert_eq!(flavour_of("7.2.12+deb13-rt-amd64"), "rt-amd64");
        assert_eq!(flavour_of("7.2.13-amd64"), "amd64");
        assert!(series_of("linux-source-7.10") > series_of("linux-source-7.9"));
    }

    #[test]
    fn series_are_whole_numbers() {
        let of = |release: &str| series(release) == "7.2";
        assert_eq!(series("7.2.12+deb13-amd64"), "7.2");
        assert_eq!(series("7.3-rc1"), "7.3");
        assert!(of("7.2.12+deb13-cloud-amd64") && of("7.2-rc1") && of("7.2"));
        assert!(!of("7.20.1") && !of("6.18.5") && !of("17.2"));
    }

    #[test]
    fn the_compiler_comes_from_the_configuration() {
        let text = "CONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0\"\n";
        let found = compiler(&kconfig::parse(text)).unwrap();
        assert_eq!(found.version, "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0");
        assert_eq!(compilers(&found.command), ["CC=x86_64-linux-gnu-gcc-14", "HOSTCC=gcc-14"]);
        assert!(compiler(&kconfig::parse("")).is_err());
    }

    #[test]
    fn madison_lists_versions_newest_first() {
        let text = " linux-source-7.2 | 7.2.12-1~bpo13+1 | http://h/debian trixie-backports/main amd64 Packages\n \
                    linux-source-7.2 | 7.2.9-1~bpo13+1 | http://h/debian trixie-backports/main amd64 Packages\n\
                    linux-source-7.2 | 7.2.9-1~bpo13+1 | http://h/debian other/main amd64 Packages\n\
                    \u{20}    linux | 7.2.12-1~bpo13+1 | http://h/debian trixie-backports/main Sources\n";
        assert_eq!(versions(text, "linux-source-7.2"), ["7.2.12-1~bpo13+1", "7.2.9-1~bpo13+1"]);
        assert!(versions("", "linux-source-7.2").is_empty());
    }
}
