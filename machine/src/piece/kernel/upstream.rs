// SPDX-License-Identifier: GPL-2.0
//! Builds the kernel of `check-upstream`: the stock kernel's source with the series of `upstream/linux`, as small as
//! the tests allow, and the selftests that the series adds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::piece::kernel::kconfig;
use crate::piece::kernel::{self, Kernel, INSIDE};
use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::Cache;
use crate::workshop::child::{require, Log};
use crate::workshop::key::Key;
use crate::workshop::progress::Step;
use crate::workshop::recipe;

const FETCH: &str = include_str!("../../../steps/source-fetch.sh");
const APPLY: &str = include_str!("../../../steps/upstream-apply.sh");
const CHECK: &str = include_str!("../../../steps/upstream-check.sh");
const CONFIG: &str = include_str!("../../../steps/source-config.sh");
const BUILD: &str = include_str!("../../../steps/upstream-build.sh");

/// Below the checkout: the patches, and the configuration's fragment.
const SERIES: &str = "upstream/linux";
const FRAGMENT: &str = "machine/upstream.config";
/// The space that the kernel needs while it is built, in bytes.
const SIZE: u64 = 4_000_000_000;

/// What the kernel is built from.
pub struct Builder<'a> {
    pub cache: &'a Cache,
    /// The root that builds the stock kernel's modules; it has that kernel's compiler.
    pub root: Toolroot,
    /// The stock kernel, whose version is built.
    pub stock: &'a Kernel,
    pub kernels: &'a recipe::Kernels,
    pub project: &'a Path,
    /// The selftests that the series adds, by the folder of tools/testing/selftests that they are in.
    pub tests: Tests,
}

/// Names of programs.
pub struct Tests {
    pub x86: Vec<String>,
    pub kvm: Vec<String>,
}

/// The kernel with the series.
pub struct Upstream {
    pub kernel: Kernel,
    /// The folder with the selftests that the series adds.
    pub tests: PathBuf,
    /// The names of its patches: each applies without a warning, and the kernel's style check has no remark.
    pub patches: Vec<String>,
}

impl Builder<'_> {
    /// Builds the kernel, unless it is up to date.
    ///
    /// # Errors
    ///
    /// A patch does not apply, or not without a warning; the style check has a remark; the archive no longer has the
    /// source; an option of the fragment is not available; no git; no network; no space.
    pub fn prepare(self) -> Result<Upstream> {
        let patches = patches(&self.project.join(SERIES))?;
        let mut key = Key::new()
            .add("toolroot", self.root.key())
            .add("steps", [FETCH, APPLY, CHECK, CONFIG, BUILD].concat())
            .add("stock", self.stock.release())
            .add("make", self.stock.make_args().join(" "))
            .add("modules", self.kernels.modules.join(" "))
            .add("tests", [self.tests.x86.join(" "), self.tests.kvm.join(" ")].join("\n"))
            .file("fragment", &self.project.join(FRAGMENT))?;
        for patch in &patches {
            key = key.file("patch", patch)?;
        }
        let key = key.finish();
        let name = format!("kernel-{}-upstream", self.stock.name());
        let piece = self.cache.piece(&name, &key, |dir| self.make(&name, &patches, dir))?;
        let tests = piece.path().join("selftests");
        let kernel = Kernel::of(piece, self.root, key, &format!("{}-upstream", self.stock.name()), Vec::new())?;
        Ok(Upstream { kernel, tests, patches: patches.iter().map(|patch| file_name(patch)).collect() })
    }

    fn make(&self, name: &str, patches: &[PathBuf], dir: &Path) -> Result<()> {
        require("git")?;
        self.root.whole()?;
        self.cache.room(name, SIZE)?;
        let step = Step::start(name, "downloading and unpacking the source");
        let log = Log::create(self.cache.log(name))?;
        self.root.update_apt(self.cache, &log)?;
        let (source, version) = kernel::source_of(&self.root, &log, self.stock.release())?;
        let inside = || self.root.inside().write(dir, INSIDE);
        log.run("fetching the kernel's source", &mut inside().script(FETCH, &[&source, &version]))?;

        step.now("applying the series");
        let copies = dir.join("patches");
        fs::create_dir(&copies)?;
        let names: Vec<_> = patches.iter().map(|patch| file_name(patch)).collect();
        for (patch, name) in patches.iter().zip(&names) {
            fs::copy(patch, copies.join(name)).with_context(|| format!("cannot read {}", patch.display()))?;
        }
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        log.run("git am", git_script(&dir.join("tree")).args(names.iter().map(|name| copies.join(name))))?;
        let remarks = log.output("checkpatch.pl", &mut inside().script(CHECK, &names))?;
        if let Some(remark) = remarks.lines().next() {
            bail!("checkpatch.pl has remarks on the series; the first one: {remark}");
        }

        let fragment = fs::read_to_string(self.project.join(FRAGMENT)).with_context(|| format!("no {FRAGMENT}"))?;
        fs::write(dir.join("fragment"), &fragment)?;
        let make: Vec<_> = self.stock.make_args().iter().map(String::as_str).collect();
        log.run("configuring the kernel", &mut inside().script(CONFIG, &make))?;
        kconfig::check(&fragment, &dir.join("tree"), "the kernel with the series")?;

        step.now(&format!("building {source} {version} with the series (10 minutes)"));
        let jobs = crate::workshop::jobs().to_string();
        let (modules, x86, kvm) =
            (self.kernels.modules.join(" "), self.tests.x86.join(" "), self.tests.kvm.join(" "));
        let args: Vec<_> = [&jobs, &modules, &x86, &kvm].map(String::as_str).into_iter().chain(make).collect();
        log.run("building the kernel", &mut inside().script(BUILD, &args))?;
        step.done();
        Ok(())
    }
}

/// The patches of the series in their order, without the cover letter.
fn patches(series: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(series).with_context(|| format!("cannot read {}", series.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_patch = |path: &PathBuf| {
        let name = file_name(path);
        name.ends_with(".patch") && !name.starts_with("0000-")
    };
    let mut patches: Vec<_> = paths.into_iter().filter(is_patch).collect();
    patches.sort();
    if patches.is_empty() {
        bail!("{} has no patches", series.display());
    }
    Ok(patches)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The step that applies patches to `tree` with this host's git, whatever the user's settings are.
fn git_script(tree: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", APPLY, "upstream-apply.sh"]).current_dir(tree);
    for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
        command.env(name, "xfd");
    }
    for name in ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
        command.env(name, "xfd@localhost");
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("LC_ALL", "C");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\n\
                         Date: Fri, 27 Nov 2026 00:00:00 +0000\nSubject: [PATCH] f: change it\n\nWhy.\n\n\
                         Signed-off-by: A <a@b>\n---\n f | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n\n\
                         diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-old\n+new\n-- \n2.47.3\n";

    /// What the step says of `patch`, and the file afterwards.
    fn apply(patch: &str) -> (bool, String, String) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0001-f.patch"), patch).unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("f"), "old\n").unwrap();
        let output = git_script(&tree).arg(dir.path().join("0001-f.patch")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() || !tree.join(".git").exists());
        (output.status.success(), said, fs::read_to_string(tree.join("f")).unwrap())
    }

    #[test]
    fn a_patch_is_applied() {
        let (ok, said, file) = apply(PATCH);
        assert!(ok && file == "new\n", "{said}");
    }

    #[test]
    fn a_patch_that_does_not_apply_or_has_bad_spaces_is_refused() {
        for (from, to) in [("-old\n", "-other\n"), ("+new\n", "+new \n")] {
            let (ok, said, _) = apply(&PATCH.replace(from, to));
            assert!(!ok && said.contains("error:"), "{said}");
        }
    }

    #[test]
    fn the_series_is_in_order_and_without_its_letter() {
        let found = patches(Path::new("../upstream/linux")).unwrap();
        let numbers: Vec<_> = found.iter().map(|path| file_name(path)[..4].parse::<usize>().unwrap()).collect();
        assert_eq!(numbers, (1..=found.len()).collect::<Vec<_>>());
        assert!(found.len() > 8, "{found:?}");
    }
}
