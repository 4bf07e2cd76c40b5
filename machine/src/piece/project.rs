// SPDX-License-Identifier: GPL-2.0
//! The checkout with its cache and recipe, and how each component of the machine is prepared from them.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

use crate::piece::agent::Agent;
use crate::piece::emulator::Emulator;
use crate::piece::kernel::{self, relied_on, upstream, Kernel, NotInArchive};
use crate::piece::module;
use crate::piece::programs::{self, Programs};
use crate::piece::toolroot::Toolroot;
use crate::workshop::cache::Cache;
use crate::workshop::count::Count;
use crate::workshop::progress::note;
use crate::workshop::recipe::{self, Recipe};

/// The checkout, its cache and its recipe.
pub struct Project {
    pub dir: PathBuf,
    pub cache: Cache,
    pub recipe: Recipe,
    /// The kernel named by `--kernel`, if any.
    asked: Option<String>,
}

/// The value of `--kernel` for the archive's newest series, which the recipe may not have.
const NEWEST: &str = "newest";

impl Project {
    /// Finds the checkout around the working directory, or else the one in which this program was built. The cache is
    /// its `.cache`, or `XFD_CACHE`. `kernel` is the name of one in the recipe, or `newest`, or `None` for the default.
    ///
    /// # Errors
    ///
    /// There is no checkout, or no such kernel in its recipe; the cache cannot be written.
    pub fn find(kernel: Option<&str>) -> Result<Project> {
        let here = std::env::current_dir().context("the working directory is gone")?;
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
        let is_project = |dir: &Path| dir.join("machine/recipe.toml").is_file();
        let above = here.ancestors().find(|dir| is_project(dir)).map(Path::to_path_buf);
        let dir = above
            .or(built.filter(|dir| is_project(dir)))
            .context("no machine/recipe.toml here or above: run this inside the checkout")?;
        let cache = std::env::var_os("XFD_CACHE").filter(|v| !v.is_empty());
        let cache = cache.map_or_else(|| dir.join(".cache"), PathBuf::from);
        // Cargo puts its folders into lists separated by colons, and rustc's linker interprets a percent sign.
        if let Some(odd) = [":", "%", "\n"].iter().find(|odd| cache.to_string_lossy().contains(**odd)) {
            bail!(
                "Rust cannot build in a folder with {odd:?} in its path, such as {}: set XFD_CACHE to another one",
                cache.display()
            );
        }
        let cache = Cache::open(&cache)?;
        let recipe = Recipe::read(&dir.join("machine/recipe.toml"))?;
        let kernel = kernel.filter(|name| !name.is_empty());
        if let Some(name) = kernel.filter(|name| *name != NEWEST) {
            recipe.kernel(name)?;
        }
        Ok(Project { dir, cache, recipe, asked: kernel.map(str::to_owned) })
    }

    /// The root that builds the emulator, the programs and the boot image.
    pub fn toolroot(&self) -> Result<Toolroot> {
        Toolroot::prepare(&self.cache, &self.recipe.toolroots[0])
    }

    /// The kernel named by `--kernel`, or else the first of the recipe that the archive has.
    pub fn kernel(&self) -> Result<Kernel> {
        match self.asked.as_deref() {
            None => self.first_of(self.recipe.kernel.iter()),
            Some(NEWEST) => {
                let known = self.recipe.kernel[0].clone();
                self.prepare_kernel(&recipe::Kernel { name: NEWEST.to_owned(), series: String::new(), ..known })
            }
            Some(name) => self.prepare_kernel(self.recipe.kernel(name)?),
        }
    }

    /// The first kernel of the recipe that is of another series than `kernel`, and that the archive has.
    pub fn kernel_of_other_series(&self, kernel: &Kernel) -> Result<Kernel> {
        let of = |other: &recipe::Kernel| kernel::series(kernel.release()) == other.series;
        self.first_of(self.recipe.kernel.iter().filter(|other| !other.series.is_empty() && !of(other)))
    }

    /// All kernels of the recipe that the archive has; prints which ones it does not have.
    pub fn kernels(&self) -> Result<Vec<Kernel>> {
        let mut found = Vec::new();
        for kernel in &self.recipe.kernel {
            match self.prepare_kernel(kernel) {
                Err(error) if error.is::<NotInArchive>() => {
                    note(&format!("kernel {} is left out: {error}", kernel.name))
                }
                kernel => found.push(kernel?),
            }
        }
        Ok(found)
    }

    /// Whether a kernel was named by `--kernel`.
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// The suffix for names of logs and images; empty for the recipe's first kernel.
    pub fn suffix(&self, kernel: &Kernel) -> String {
        match kernel.name() == self.recipe.kernel[0].name {
            true => String::new(),
            false => format!("-on-{}", kernel.name()),
        }
    }

    /// Fails if a kernel was named by `--kernel`, which `command` cannot use.
    ///
    /// # Errors
    ///
    /// A kernel was named.
    pub fn refuse_kernel(&self, command: &str) -> Result<()> {
        match &self.asked {
            None => Ok(()),
            Some(name) => bail!("{command} takes neither --kernel nor XFD_KERNEL ({name})"),
        }
    }

    /// The first of these that the archive has; prints which ones it does not have.
    fn first_of<'a>(&self, kernels: impl Iterator<Item = &'a recipe::Kernel>) -> Result<Kernel> {
        let mut missing = None;
        for kernel in kernels {
            match self.prepare_kernel(kernel) {
                Err(error) if error.is::<NotInArchive>() => {
                    note(&format!("kernel {} is left out: {error}", kernel.name));
                    missing = Some(error);
                }
                found => return found,
            }
        }
        Err(missing.unwrap_or_else(|| NotInArchive("machine/recipe.toml has no such kernel".into()).into()))
    }

    /// Prepares a kernel of the recipe.
    pub fn prepare_kernel(&self, kernel: &recipe::Kernel) -> Result<Kernel> {
        let root = Toolroot::prepare(&self.cache, self.recipe.toolroot(&kernel.toolroot)?)?;
        let kernel = Kernel::prepare(&self.cache, root, kernel, &self.recipe.kernels)?;
        let unread = self.relied_on(&kernel)?;
        if let Some(remark) = unread.remarks.last() {
            note(&format!(
                "kernel {}: the module relies on functions that nobody has reviewed: {remark}",
                kernel.name()
            ));
        }
        Ok(kernel)
    }

    /// The source of the kernel `stock` with the series of `upstream/linux`, of which `tests` are the selftests.
    pub fn upstream(&self, stock: &Kernel, tests: upstream::Tests) -> Result<upstream::Upstream> {
        let root = Toolroot::prepare(&self.cache, self.recipe.toolroot(stock.root().name())?)?;
        let (cache, kernels, project) = (&self.cache, &self.recipe.kernels, self.dir.as_path());
        upstream::Builder { cache, root, stock, kernels, project, tests }.prepare()
    }

    /// Checks whether the functions of this kernel that the module relies on were reviewed.
    pub fn relied_on(&self, kernel: &Kernel) -> Result<Count> {
        relied_on::check(&self.cache, &self.dir, kernel)
    }

    /// The emulator.
    pub fn emulator(&self, root: &Toolroot) -> Result<Emulator> {
        Emulator::prepare(&self.cache, root, &self.recipe.emulator, &self.bochs())
    }

    /// The agent for the guest.
    pub fn agent(&self, root: &Toolroot) -> Result<Agent> {
        Agent::prepare(&self.cache, root, &self.dir.join("machine/guest"))
    }

    /// The emulator with a socket for a debugger.
    pub fn emulator_with_debugger(&self, root: &Toolroot) -> Result<Emulator> {
        Emulator::with_debugger(&self.cache, root, &self.recipe.emulator, &self.bochs())
    }

    /// The builder of the module for `kernel`.
    pub fn module<'a>(&'a self, kernel: &'a Kernel) -> module::Builder<'a> {
        module::Builder { cache: &self.cache, kernel, project: &self.dir }
    }

    /// The programs for the guest.
    pub fn programs(&self, root: &Toolroot, kernel: &Kernel) -> Result<Programs> {
        let recipe = &self.recipe;
        let (software, tracers) = (&recipe.software, &recipe.tracers);
        programs::Builder { cache: &self.cache, root, kernel, software, tracers, project: &self.dir }.programs()
    }

    pub fn bochs(&self) -> PathBuf {
        self.dir.join("machine/bochs")
    }
}
