// SPDX-License-Identifier: GPL-2.0
//! Prepares the toolchain root: the Debian system in which kernel metadata, module, emulator and boot image are built,
//! whatever the host is.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{bail, Context, Result};

use crate::workshop::cache::{Cache, Piece};
use crate::workshop::child::{require, Log};
use crate::workshop::key::Key;
use crate::workshop::mirror;
use crate::workshop::namespace::{self, Inside};
use crate::workshop::progress::Step;
use crate::workshop::recipe;

const STEP: &str = include_str!("../../steps/toolroot.sh");
/// A prefix of the step. It mounts the component being built at a path that every program can handle. The result does
/// not depend on this, so it is not part of the key.
const PLACE: &str =
    "set -e; dir=$1; shift; mount -t tmpfs xfd /mnt; mkdir /mnt/piece; mount --bind \"$dir\" /mnt/piece\n";
const PLACED: &str = "/mnt/piece";
const WITH_COMPILERS: &str = "Debian with compilers (about 2 GB)";
/// The space that a root with compilers, or a small one, needs while it is built, with its packages, in bytes.
const COMPILERS_SIZE: u64 = 2_400_000_000;
const SMALL_SIZE: u64 = 600_000_000;
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A root, ready for use.
pub struct Toolroot {
    name: String,
    piece: Piece,
    key: String,
    apt_updated: Mutex<bool>,
}

impl Toolroot {
    /// Prepares the root, unless it is up to date.
    ///
    /// # Errors
    ///
    /// No namespaces, no mmdebstrap, no keyring, no network, no space.
    pub fn prepare(cache: &Cache, recipe: &recipe::Toolroot) -> Result<Toolroot> {
        Toolroot::called(&recipe.name, WITH_COMPILERS, cache, recipe)
    }

    /// The same with more packages, as a separate component: for what is not always needed.
    pub fn with(more: &[String], cache: &Cache, recipe: &recipe::Toolroot) -> Result<Toolroot> {
        let mut recipe = recipe.clone();
        recipe.packages.extend_from_slice(more);
        Toolroot::called(&format!("{}-debug", recipe.name), WITH_COMPILERS, cache, &recipe)
    }

    /// Another root of the same suite, with only these packages.
    pub fn small(name: &str, packages: &[String], cache: &Cache, recipe: &recipe::Toolroot) -> Result<Toolroot> {
        let recipe = recipe::Toolroot { packages: packages.to_vec(), extra_suites: Vec::new(), ..recipe.clone() };
        Toolroot::called(name, &format!("Debian with {}", packages.join(", ")), cache, &recipe)
    }

    fn called(name: &str, what: &str, cache: &Cache, recipe: &recipe::Toolroot) -> Result<Toolroot> {
        namespace::check()?;
        let mut key = Key::new()
            .add("step", STEP)
            .add("suite", &recipe.suite)
            .add("extra", recipe.extra_suites.join(" "))
            .add("packages", recipe.packages.join(" "));
        // Another archive, perhaps a snapshot of the past, makes another root.
        if let Some(mirror) = mirror::asked() {
            key = key.add("mirror", mirror);
        }
        let key = key.finish();
        let piece_name = format!("toolroot-{name}");
        let piece = cache.piece(&piece_name, &key, |dir| make(&piece_name, what, cache, recipe, dir))?;
        Ok(Toolroot { name: name.to_owned(), piece, key, apt_updated: Mutex::new(false) })
    }

    /// Its name in the recipe.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The content key of what the root was built from.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Fails if files that only compilers read are not as they were built.
    pub fn whole(&self) -> Result<()> {
        self.piece.whole()
    }

    /// The start of a command that runs inside the root.
    pub fn inside(&self) -> Inside {
        Inside::new(&self.piece.path().join("root"))
    }

    /// The path of a file of the root on the host.
    pub fn file(&self, inside: &str) -> std::path::PathBuf {
        self.piece.path().join("root").join(inside.trim_start_matches('/'))
    }

    /// Updates the root's package lists, once per run.
    pub fn update_apt(&self, cache: &Cache, log: &Log) -> Result<()> {
        let mut updated = self.apt_updated.lock().unwrap_or_else(|e| e.into_inner());
        if !*updated {
            let _lock = cache.exclusive("apt")?;
            log.run("apt-get update", self.inside().command("apt-get").args(["update", "-q", "--error-on=any"]))?;
            *updated = true;
        }
        Ok(())
    }
}

fn make(name: &str, what: &str, cache: &Cache, recipe: &recipe::Toolroot, dir: &Path) -> Result<()> {
    cache.room(name, if what == WITH_COMPILERS { COMPILERS_SIZE } else { SMALL_SIZE })?;
    require("mmdebstrap")?;
    if !Path::new(KEYRING).exists() {
        bail!(
            "the Debian archive's keys are missing ({KEYRING}); install them: apt-get install debian-archive-keyring"
        );
    }
    let step = Step::start(name, &format!("installing {what}"));
    let log = Log::create(cache.log(name))?;
    let root = dir.join("root");
    let mut command = namespace::namespaced("/bin/sh");
    command.args(["-c", &[PLACE, STEP].concat(), "toolroot"]).arg(dir).arg(Path::new(PLACED).join("root"));
    command.args([&recipe.suite, &recipe.packages.join(",")]);
    command.args(mirror::choose()?);
    if std::env::var_os("XFD_EXPIRED").is_some_and(|value| !value.is_empty()) {
        command.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    }
    command.env("TMPDIR", PLACED).env("LC_ALL", "C.UTF-8");
    log.run("mmdebstrap", &mut command)?;

    let uri = mirror::of_suite(&root, &recipe.suite).context("the new root's apt does not name its mirror")?;
    let mut sources = String::new();
    for suite in std::iter::once(&recipe.suite).chain(&recipe.extra_suites) {
        sources.push_str(&format!("deb {uri} {suite} main\ndeb-src {uri} {suite} main\n"));
    }
    let list = root.join("etc/apt/sources.list");
    fs::write(&list, sources).with_context(|| format!("cannot write {}", list.display()))?;
    step.done();
    Ok(())
}
