// SPDX-License-Identifier: GPL-2.0
//! The checkout with its cache and its recipe, and how each piece of the machine is prepared from them.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

use crate::piece::agent::Agent;
use crate::piece::emulator::Emulator;
use crate::piece::kernel::{self, relied_on, Kernel, NotInArchive};
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
    /// The kernel that was asked for, if one was.
    asked: Option<String>,
}

/// What `--kernel` says for a series that the recipe does not have.
const NEWEST: &str = "newest";

impl Project {
    /// The checkout around the working directory, or else the one that this program was built in. The
    /// cache is `.cache` in it, or `XFD_CACHE`. `kernel` is one of the recipe's, or `newest`, or none for the default.
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
            .context("no machine/recipe.toml here or above; go to the checkout")?;
        let cache = std::env::var_os("XFD_CACHE").filter(|v| !v.is_empty());
        let cache = cache.map_or_else(|| dir.join(".cache"), PathBuf::from);
        // Cargo joins its folders with colons, and rustc's linker treats a percent sign specially.
        if let Some(odd) = [":", "%", "\n"].iter().find(|odd| cache.to_string_lossy().contains(**odd)) {
            bail!(
                "Rust cannot build in a folder with {odd:?} in its path, as {}: set XFD_CACHE to another one",
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

    /// The root that builds the machine.
    pub fn toolroot(&self) -> Result<Toolroot> {
        Toolroot::prepare(&self.cache, &self.recipe.toolroots[0])
    }

    /// The kernel that was asked for, or else the first of the recipe's that the archive has.
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

    /// The first kernel of the recipe's that is of another series than `kernel`, and that the archive has.
    pub fn kernel_of_other_series(&self, kernel: &Kernel) -> Result<Kernel> {
        let of = |other: &recipe::Kernel| kernel::series(kernel.release()) == other.series;
        self.first_of(self.recipe.kernel.iter().filter(|other| !other.series.is_empty() && !of(other)))
    }

    /// All of the recipe's that the archive has; says which it has not.
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

    /// Whether a kernel was asked for by name.
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// What names of logs and images end in with a kernel that is not the recipe's first.
    pub fn suffix(&self, kernel: &Kernel) -> String {
        match kernel.name() == self.recipe.kernel[0].name {
            true => String::new(),
            false => format!("-on-{}", kernel.name()),
        }
    }

    /// Fails if a kernel was asked for: `command` has no use for one.
    ///
    /// # Errors
    ///
    /// So it was.
    pub fn refuse_kernel(&self, command: &str) -> Result<()> {
        match &self.asked {
            None => Ok(()),
            Some(name) => bail!("{command} takes no --kernel and no XFD_KERNEL ({name})"),
        }
    }

    /// The first that the archive has; says which it has not.
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
        Err(missing.unwrap_or_else(|| NotInArchive("machine/recipe.toml names no such kernel".into()).into()))
    }

    /// A kernel of the recipe's.
    pub fn prepare_kernel(&self, kernel: &recipe::Kernel) -> Result<Kernel> {
        let root = Toolroot::prepare(&self.cache, self.recipe.toolroot(&kernel.toolroot)?)?;
        let kernel = Kernel::prepare(&self.cache, root, kernel, &self.recipe.kernels)?;
        let unread = self.relied_on(&kernel)?;
        if let Some(remark) = unread.remarks.last() {
            note(&format!("kernel {}: not all that the module stands on was read: {remark}", kernel.name()));
        }
        Ok(kernel)
    }

    /// Whether the kernel's functions that the module stands on were read.
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

    /// How the module is built.
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
