// SPDX-License-Identifier: GPL-2.0
//! The stock kernel: its image as shipped, and a source tree whose Rust metadata was made again with the
//! shipped configuration and compilers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

use crate::cache::{Cache, Piece};
use crate::child::Log;
use crate::kconfig;
use crate::key::Key;
use crate::progress::Step;
use crate::recipe;
use crate::toolroot::Toolroot;

const FETCH: &str = include_str!("../steps/kernel-fetch.sh");
const PREPARE: &str = include_str!("../steps/kernel-prepare.sh");

/// Where the prepared tree appears in the root.
pub const INSIDE: &str = "/xfd/kernel";

/// The prepared kernel.
pub struct Kernel {
    piece: Piece,
    key: String,
    release: String,
    variant: &'static str,
    make_args: Vec<String>,
}

/// A kernel that the archive has.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    /// `linux-source-7.2`
    source: String,
    /// Debian version.
    version: String,
    /// What `uname -r` says in it.
    release: String,
}

impl Kernel {
    /// Fetches and prepares the newest supported kernel, unless one is there.
    ///
    /// # Errors
    ///
    /// The archive has none that is supported; the configuration or the Rust compiler is not the shipped
    /// kernel's; no network; no space.
    pub fn prepare(cache: &Cache, root: &Toolroot, recipe: &recipe::Kernel) -> Result<Kernel> {
        let key = Key::new()
            .add("toolroot", root.key())
            .add("steps", [FETCH, PREPARE].concat())
            .add("series", recipe.series.join(" "))
            .add("flavour", &recipe.flavour)
            .add("compilers", [recipe.cc.as_str(), " ", &recipe.hostcc].concat())
            .add("leave out", recipe.leave_out.join(" "))
            .add("modules", recipe.modules.join(" "))
            .finish();
        let piece = cache.piece("kernel", &key, |dir| make(cache, root, recipe, dir))?;
        Kernel::of(piece, key, "", vec![format!("CC={}", recipe.cc), format!("HOSTCC={}", recipe.hostcc)])
    }

    /// The kernel in a whole piece.
    pub fn of(piece: Piece, key: String, variant: &'static str, make_args: Vec<String>) -> Result<Kernel> {
        let release = fs::read_to_string(piece.path().join("release"))?.trim().to_owned();
        Ok(Kernel { piece, key, release, variant, make_args })
    }

    /// What is appended to the names of pieces that are made for this kernel.
    pub fn variant(&self) -> &'static str {
        self.variant
    }

    /// The compilers, for its makefiles.
    pub fn make_args(&self) -> &[String] {
        &self.make_args
    }

    /// What the tree was made from.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What `uname -r` says.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The prepared source tree.
    pub fn tree(&self) -> PathBuf {
        self.piece.path().join("tree")
    }

    /// The boot image.
    pub fn image(&self) -> PathBuf {
        self.piece.path().join("vmlinuz")
    }

    /// The folder of the stock kernel's modules that the recipe names.
    pub fn modules(&self) -> PathBuf {
        self.piece.path().join("modules")
    }
}

fn make(cache: &Cache, root: &Toolroot, recipe: &recipe::Kernel, dir: &Path) -> Result<()> {
    let step = Step::start("kernel", "asking the archive for versions");
    let log = Log::create(cache.log("kernel"))?;
    root.update_apt(cache, &log)?;
    let version = newest(root, &log, recipe)?;

    step.now(&format!("downloading and unpacking {} {}", version.source, version.version));
    let args =
        [&version.source, &version.version, &version.release, &recipe.leave_out.join(" "), &recipe.modules.join(" ")];
    log.run("fetching the kernel", &mut root.inside().write(dir, INSIDE).script(FETCH, &args.map(String::as_str)))?;

    let tree = dir.join("tree");
    let shipped = read_config(&dir.join("config.shipped"))?;
    let rustc = log.output("rustc --version", root.inside().command("rustc").arg("--version"))?;
    let wanted =
        kconfig::string(&shipped, "CONFIG_RUSTC_VERSION_TEXT").context("the kernel is built without Rust")?;
    if rustc.trim() != wanted {
        bail!("the kernel was built with {wanted}, the toolchain root has {}: no metadata can be made", rustc.trim());
    }

    step.now(&format!("making the Rust metadata of {}", version.release));
    let compilers = [format!("CC={}", recipe.cc), format!("HOSTCC={}", recipe.hostcc)];
    let mut config = root.inside().write(&tree, INSIDE).dir(INSIDE).command("make");
    log.run("make olddefconfig", config.args(&compilers).arg("olddefconfig"))?;
    let differences = kconfig::differences(&shipped, &read_config(&tree.join(".config"))?);
    if !differences.is_empty() {
        bail!(
            "the kernel's configuration changed in the toolchain root, struct layouts may differ: {}",
            differences.join(", ")
        );
    }
    let jobs = crate::jobs().to_string();
    let args = [&version.release, &jobs, &recipe.cc, &recipe.hostcc];
    let mut prepare = root.inside().write(&tree, INSIDE).script(PREPARE, &args.map(String::as_str));
    log.run("make prepare modules_prepare", &mut prepare)?;
    step.done();
    Ok(())
}

fn read_config(path: &Path) -> Result<kconfig::Config> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(kconfig::parse(&text))
}

/// The newest supported kernel for which the archive has source and headers of one version.
fn newest(root: &Toolroot, log: &Log, recipe: &recipe::Kernel) -> Result<Version> {
    let ask = |args: &[&str]| log.output("apt-cache", root.inside().command("apt-cache").args(args));
    for series in &recipe.series {
        let source = format!("linux-source-{series}");
        for version in versions(&ask(&["madison", &source])?, &source) {
            let upstream = version.split('-').next().unwrap_or_default().replace('.', "\\.");
            let pattern = format!("^linux-headers-{upstream}[^0-9.].*-{}$", recipe.flavour);
            for line in ask(&["search", "--names-only", &pattern])?.lines() {
                let package = line.split_whitespace().next().unwrap_or_default();
                let release = package.trim_start_matches("linux-headers-").to_owned();
                if versions(&ask(&["madison", package])?, package).contains(&version) {
                    return Ok(Version { source, version, release });
                }
            }
        }
    }
    let has = ask(&["search", "--names-only", "^linux-source-[0-9.]+$"])?;
    let has: Vec<_> = has.lines().filter_map(|line| line.split_whitespace().next()).collect();
    bail!(
        "the Debian archive no longer has a kernel of a supported series ({}) for {}; it has {}; add a series in \
         machine/recipe.toml",
        recipe.series.join(", "),
        recipe.flavour,
        if has.is_empty() { "none".to_owned() } else { has.join(", ") }
    )
}

/// The package with the source of the kernel `release`, and its version.
pub fn source_of(root: &Toolroot, log: &Log, release: &str) -> Result<(String, String)> {
    let headers = format!("linux-headers-{release}");
    let madison = log.output("apt-cache", root.inside().command("apt-cache").args(["madison", &headers]))?;
    let version = versions(&madison, &headers).into_iter().next();
    let version = version.with_context(|| format!("the Debian archive no longer has {headers}"))?;
    let series: Vec<_> = release.split('.').take(2).collect();
    Ok((format!("linux-source-{}", series.join(".")), version))
}

/// The versions of `package` in the answer of `apt-cache madison`, in its order: newest first.
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
    fn madison_lists_versions_newest_first() {
        let text = " linux-source-7.2 | 7.2.12-1~bpo13+1 | http://h/debian trixie-backports/main amd64 Packages\n \
                    linux-source-7.2 | 7.2.9-1~bpo13+1 | http://h/debian trixie-backports/main amd64 Packages\n\
                    linux-source-7.2 | 7.2.9-1~bpo13+1 | http://h/debian other/main amd64 Packages\n\
                    \u{20}    linux | 7.2.12-1~bpo13+1 | http://h/debian trixie-backports/main Sources\n";
        assert_eq!(versions(text, "linux-source-7.2"), ["7.2.12-1~bpo13+1", "7.2.9-1~bpo13+1"]);
        assert!(versions("", "linux-source-7.2").is_empty());
    }
}
