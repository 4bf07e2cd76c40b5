// SPDX-License-Identifier: GPL-2.0
//! Builds the debug kernels: the stock kernel's source with the debugging features enabled, and otherwise as small as
//! the tests allow. They are built with clang, because Rust and KASAN do not work together with gcc.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::piece::kernel::kconfig;
use crate::piece::kernel::{self, Kernel, INSIDE};
use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::Cache;
use crate::workshop::child::Log;
use crate::workshop::key::Key;
use crate::workshop::progress::Step;
use crate::workshop::recipe;

const FETCH: &str = include_str!("../../../steps/debug-fetch.sh");
const BUILD: &str = include_str!("../../../steps/debug-build.sh");
/// Only for [`Kind::Kcsan`], between these two.
const KCSAN: &str = include_str!("../../../steps/debug-kcsan.sh");

/// The kinds of debug kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Preemptible, with KVM.
    Preempt,
    /// With PREEMPT_RT.
    Rt,
    /// With KCSAN instead of KASAN and lockdep.
    Kcsan,
}

impl Kind {
    /// The part of the names of its components and boots that tells them from the stock kernel's.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Preempt => "debug",
            Kind::Rt => "debug-rt",
            Kind::Kcsan => "debug-kcsan",
        }
    }

    /// Its configuration on top of tinyconfig: files of `machine`, of which later ones override earlier ones.
    fn fragments(self) -> &'static [&'static str] {
        match self {
            Kind::Preempt => &["debug.config"],
            Kind::Rt => &["debug.config", "debug-rt.config"],
            Kind::Kcsan => &["debug.config", "debug-kcsan.config"],
        }
    }
}

/// What a debug kernel is built from.
pub struct Builder<'a> {
    pub cache: &'a Cache,
    /// The root that builds it, and later its modules.
    pub root: Toolroot,
    /// The stock kernel. Its version is built, with those of its modules that the configuration has.
    pub stock: &'a Kernel,
    pub recipe: &'a recipe::Recipe,
    /// The folder with the configuration's fragments.
    pub machine: &'a Path,
}

impl Builder<'_> {
    /// Builds the kernel, unless it is up to date.
    ///
    /// # Errors
    ///
    /// The archive no longer has the source; an option of the fragments is not available; no network; no space.
    pub fn prepare(self, kind: Kind) -> Result<Kernel> {
        let llvm = self.recipe.debug_kernel.llvm.clone();
        let mut key = Key::new()
            .add("toolroot", self.root.key())
            .add("steps", [FETCH, BUILD].concat())
            .add("stock", self.stock.release())
            .add("modules", self.recipe.kernels.modules.join(" "))
            .add("llvm", &llvm);
        let fragments: Vec<PathBuf> = kind.fragments().iter().map(|name| self.machine.join(name)).collect();
        for fragment in &fragments {
            key = key.file("fragment", fragment)?;
        }
        if kind == Kind::Kcsan {
            key = key.add("what KCSAN watches", KCSAN);
        }
        let key = key.finish();
        let name = format!("kernel-{}-{}", self.stock.name(), kind.name());
        let piece = self.cache.piece(&name, &key, |dir| self.make(kind, &name, &fragments, dir))?;
        Kernel::of(
            piece,
            self.root,
            key,
            &format!("{}-{}", self.stock.name(), kind.name()),
            vec![format!("LLVM={llvm}")],
        )
    }

    fn make(&self, kind: Kind, name: &str, fragments: &[PathBuf], dir: &Path) -> Result<()> {
        self.root.whole()?;
        let step = Step::start(name, "downloading and unpacking the source");
        let log = Log::create(self.cache.log(name))?;
        let llvm = self.recipe.debug_kernel.llvm.as_str();
        self.root.update_apt(self.cache, &log)?;
        let (source, version) = kernel::source_of(&self.root, &log, self.stock.release())?;
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let texts = fragments.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
        let fragment = texts.concat();
        fs::write(dir.join("fragment"), &fragment)?;
        let mut fetch = self.root.inside().write(dir, INSIDE).script(FETCH, &[&source, &version, llvm]);
        log.run("fetching the kernel's source", &mut fetch)?;

        if kind == Kind::Kcsan {
            let mut watch = self.root.inside().write(dir, INSIDE).script(KCSAN, &[]);
            log.run("choosing what KCSAN watches", &mut watch)?;
        }
        kconfig::check(&fragment, &dir.join("tree"), "this debug kernel")?;
        step.now(&format!("building {source} {version} as a debug kernel (half an hour)"));
        let jobs = crate::workshop::jobs().to_string();
        let modules = self.recipe.kernels.modules.join(" ");
        let mut build = self.root.inside().write(dir, INSIDE).script(BUILD, &[llvm, &jobs, &modules]);
        log.run("building the debug kernel", &mut build)?;
        step.done();
        Ok(())
    }
}
