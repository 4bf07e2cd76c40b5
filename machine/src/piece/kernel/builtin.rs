// SPDX-License-Identifier: GPL-2.0
//! Builds the kernel of `check-builtin`: the stock kernel's source, with the subsystem built in (`upstream/linux-rust`),
//! and otherwise as small as the tests allow. It has the stock kernel's compiler.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

use crate::piece::kernel::kconfig;
use crate::piece::kernel::{self, Kernel, INSIDE};
use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::Cache;
use crate::workshop::child::Log;
use crate::workshop::key::{files_below, Key};
use crate::workshop::progress::Step;
use crate::workshop::recipe;

const FETCH: &str = include_str!("../../../steps/source-fetch.sh");
const APPLY: &str = include_str!("../../../steps/builtin-apply.sh");
const CONFIG: &str = include_str!("../../../steps/source-config.sh");
const BUILD: &str = include_str!("../../../steps/builtin-build.sh");
/// Below the checkout: the configuration's fragments, of which later ones override earlier ones.
const FRAGMENTS: [&str; 2] = ["machine/debug.config", "machine/builtin.config"];
/// Below the checkout: what is put into the source.
const SOURCES: [&str; 3] = ["rust/xfd", "rust/xstate", "upstream/linux-rust"];
/// The space that the kernel needs while it is built, in bytes.
const SIZE: u64 = 4_000_000_000;

/// What the kernel is built from.
pub struct Builder<'a> {
    pub cache: &'a Cache,
    /// The root that builds the stock kernel's modules; it has that kernel's compilers.
    pub root: Toolroot,
    /// The stock kernel, whose version is built.
    pub stock: &'a Kernel,
    pub kernels: &'a recipe::Kernels,
    pub project: &'a Path,
}

impl Builder<'_> {
    /// Builds the kernel, unless it is up to date.
    ///
    /// # Errors
    ///
    /// The hooks do not apply; the archive no longer has the source; an option of the fragments is not available; no
    /// network; no space.
    pub fn prepare(self) -> Result<Kernel> {
        let mut key = Key::new()
            .add("toolroot", self.root.key())
            .add("steps", [FETCH, APPLY, CONFIG, BUILD].concat())
            .add("stock", self.stock.release())
            .add("make", self.stock.make_args().join(" "))
            .add("modules", self.kernels.modules.join(" "));
        for name in FRAGMENTS {
            key = key.file("fragment", &self.project.join(name))?;
        }
        for folder in SOURCES {
            for file in files(&self.project.join(folder))? {
                key = key.file("source", &file)?;
            }
        }
        let key = key.finish();
        let name = format!("kernel-{}-builtin", self.stock.name());
        let piece = self.cache.piece(&name, &key, |dir| self.make(&name, dir))?;
        Kernel::of(piece, self.root, key, &format!("{}-builtin", self.stock.name()), Vec::new())
    }

    fn make(&self, name: &str, dir: &Path) -> Result<()> {
        self.root.whole()?;
        self.cache.room(name, SIZE)?;
        let step = Step::start(name, "downloading and unpacking the source");
        let log = Log::create(self.cache.log(name))?;
        self.root.update_apt(self.cache, &log)?;
        let (source, version) = kernel::source_of(&self.root, &log, self.stock.release())?;
        let read = |name: &str| fs::read_to_string(self.project.join(name)).with_context(|| format!("no {name}"));
        let fragment = FRAGMENTS.iter().map(|name| read(name)).collect::<Result<Vec<_>>>()?.concat();
        fs::write(dir.join("fragment"), &fragment)?;

        let make: Vec<_> = self.stock.make_args().iter().map(String::as_str).collect();
        let inside = || self.root.inside().write(dir, INSIDE).read(self.project, "/xfd/project");
        log.run("fetching the kernel's source", &mut inside().script(FETCH, &[&source, &version]))?;
        log.run("putting the hooks and the Rust code into the kernel's source", &mut inside().script(APPLY, &[]))?;
        log.run("configuring the kernel", &mut inside().script(CONFIG, &make))?;
        kconfig::check(&fragment, &dir.join("tree"), "the built-in kernel")?;

        step.now(&format!("building {source} {version} with the subsystem built in (20 minutes)"));
        let (jobs, modules) = (crate::workshop::jobs().to_string(), self.kernels.modules.join(" "));
        let args: Vec<_> = [jobs.as_str(), modules.as_str()].into_iter().chain(make).collect();
        log.run("building the kernel", &mut inside().script(BUILD, &args))?;
        step.done();
        Ok(())
    }
}

/// The files in `folder` and below that a build reads, in their order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_read = |path: &PathBuf| {
        let known = ["rs", "c", "h", "mk", "patch"].iter().any(|end| path.extension().is_some_and(|e| e == *end));
        (known || path.ends_with("Makefile")) && !path.iter().any(|part| part == "tests" || part == "fuzz")
    };
    let mut found = files_below(folder)?;
    found.retain(is_read);
    if found.is_empty() {
        bail!("{} has no source: check out the whole repository", folder.display());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_reads_the_sources_and_not_the_tests() {
        let found = SOURCES.iter().flat_map(|name| files(&Path::new("..").join(name)).unwrap()).collect::<Vec<_>>();
        let has = |end: &str| found.iter().any(|path| path.ends_with(end));
        assert!(has("xfd/xfd_tree.rs") && has("xstate/buffer.rs") && has("linux-rust/Makefile"));
        assert!(has("reclaim/owed.c") && has("seam/seam.h") && has("xfd/bindings.mk"));
        assert!(!has("tests/owed_race.rs") && !has("fuzz/history.rs"));
    }
}
