// SPDX-License-Identifier: GPL-2.0
//! The machine with its pieces, and the ways to prepare them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail, Context, Result};

use crate::boot::{self, Boot, Report};
use crate::cache::{Cache, Piece};
use crate::console::Event;
use crate::debug_kernel;
use crate::emulator::Emulator;
use crate::image::{self, Image};
use crate::initramfs::Initramfs;
use crate::kernel::{self, Kernel, NotInArchive};
use crate::ktap::Count;
use crate::module;
use crate::programs::{self, Programs};
use crate::progress::note;
use crate::recipe::{self, Recipe};
use crate::relied_on;
use crate::toolroot::Toolroot;

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
        let cache = Cache::open(&cache.map_or_else(|| dir.join(".cache"), PathBuf::from))?;
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
    fn suffix(&self, kernel: &Kernel) -> String {
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

    fn bochs(&self) -> PathBuf {
        self.dir.join("machine/bochs")
    }
}

/// All that a boot needs.
pub struct Machine<'a> {
    pub project: &'a Project,
    pub root: Toolroot,
    pub kernel: Kernel,
    pub emulator: Emulator,
    /// What names of logs and images end in, beside those of the default kernel.
    pub suffix: String,
    /// The stock kernel, if it is not the one that is booted.
    stock: Option<Kernel>,
    template: String,
}

impl Machine<'_> {
    /// Prepares root, kernel and emulator, the last two side by side.
    pub fn prepare(project: &Project) -> Result<Machine<'_>> {
        let root = project.toolroot()?;
        let (kernel, emulator) = both(|| project.kernel(), || project.emulator(&root));
        Machine::of(project, root, kernel?, emulator?)
    }

    /// The same with this kernel of the recipe's.
    pub fn prepare_with<'a>(project: &'a Project, kernel: &recipe::Kernel) -> Result<Machine<'a>> {
        let root = project.toolroot()?;
        let (kernel, emulator) = both(|| project.prepare_kernel(kernel), || project.emulator(&root));
        Machine::of(project, root, kernel?, emulator?)
    }

    fn of(project: &Project, root: Toolroot, kernel: Kernel, emulator: Emulator) -> Result<Machine<'_>> {
        let template = image::template(&project.bochs())?;
        let suffix = project.suffix(&kernel);
        Ok(Machine { project, kernel, emulator, suffix, stock: None, root, template })
    }

    /// The same machine with another kernel.
    pub fn with(self, kernel: Kernel) -> Self {
        Machine { suffix: self.project.suffix(&kernel), kernel, ..self }
    }

    /// The same with a debug kernel, and the root that builds it.
    pub fn prepare_debug(project: &Project, kind: debug_kernel::Kind) -> Result<Machine<'_>> {
        let stock = Machine::prepare(project)?;
        let recipe = &project.recipe;
        let with = recipe.toolroot(stock.kernel.root().name())?;
        let root = Toolroot::with(&recipe.debug_kernel.packages, &project.cache, with)?;
        let machine = project.dir.join("machine");
        let kernels =
            debug_kernel::Builder { cache: &project.cache, root, stock: &stock.kernel, recipe, machine: &machine };
        let kernel = kernels.prepare(kind)?;
        Ok(Machine { kernel, stock: Some(stock.kernel), ..stock })
    }

    /// The stock kernel: programs are built with its headers and selftests, and a Linux guest runs it on any kernel.
    pub fn stock(&self) -> &Kernel {
        self.stock.as_ref().unwrap_or(&self.kernel)
    }

    /// The module for `kernel`.
    pub fn module(&self, kernel: &Kernel) -> Result<Piece> {
        self.project.module(kernel).module()
    }

    /// Module (if asked for) and programs, side by side.
    pub fn module_and_programs(&self, module: bool) -> Result<(Option<Piece>, Programs)> {
        let programs = || self.project.programs(&self.root, self.stock());
        let (module, programs) = both(|| module.then(|| self.module(&self.kernel)).transpose(), programs);
        Ok((module?, programs?))
    }

    /// A guest's file system with `settings` for init, and the modules if there are any; init loads `load` of
    /// them.
    pub fn guest(&self, settings: &Settings, module: Option<&Piece>, load: Option<&str>) -> Result<Initramfs> {
        self.guest_with(&self.kernel, settings, module, load)
    }

    /// The same for a guest that runs `kernel`.
    pub fn guest_with(
        &self,
        kernel: &Kernel,
        settings: &Settings,
        module: Option<&Piece>,
        load: Option<&str>,
    ) -> Result<Initramfs> {
        let busybox = self.root.file("/usr/bin/busybox");
        let mut files = Initramfs::with_init(&busybox, &self.project.dir.join("machine/guest/init"))?;
        for entry in std::fs::read_dir(kernel.modules())? {
            let entry = entry?;
            files.file(&format!("lib/modules/{}", entry.file_name().to_string_lossy()), &entry.path())?;
        }
        if let Some(module) = module {
            for name in module::PRODUCTS {
                files.file(&format!("lib/{name}"), &module.path().join(name))?;
            }
        }
        files.content("job/settings", 0o644, settings.text(load));
        Ok(files)
    }

    /// Boots `files`.
    pub fn boot(&self, files: &Initramfs, how: &How, event: impl FnMut(Event)) -> Result<Report> {
        let name = format!("{}{}", how.name, self.suffix);
        let fred = how.with.iter().any(|f| f == "fred").then(|| format!("{} fred=on", how.cmdline));
        let cmdline = fred.as_deref().unwrap_or(how.cmdline);
        let image = Image::prepare(&self.project.cache, &self.root, &self.kernel, &name, files, cmdline)?;
        let terminal = how.terminal.as_ref().map(|(path, file)| anyhow::Ok((path.clone(), file.try_clone()?)));
        // Two runs at once have logs of their own.
        let (name, _taken) = self.project.cache.free_name(&name)?;
        let msrs = self.project.bochs().join("fast-strings.msrs");
        let mut cpu_more = String::new();
        if how.fast_strings {
            cpu_more.push_str(&format!(", msrs=\"{}\"", msrs.display()));
        }
        for (option, features) in [("add_features", how.with), ("exclude_features", how.without)] {
            if !features.is_empty() {
                cpu_more.push_str(&format!(", {option}=\"{}\"", features.join(", ")));
            }
        }
        let boot = Boot {
            name: &name,
            iso: &image.iso(),
            template: &self.template,
            cpus: how.cpus,
            memory_mib: how.memory_mib,
            quiet: how.quiet,
            total: how.total,
            show_console: how.show_console,
            cpu_more: &cpu_more,
            terminal: terminal.transpose()?,
        };
        boot::boot(&self.project.cache, &self.emulator, boot, event)
    }
}

/// How to boot.
pub struct How<'a> {
    pub name: &'a str,
    pub cpus: u8,
    pub memory_mib: u32,
    pub cmdline: &'a str,
    pub quiet: Duration,
    pub total: Duration,
    pub show_console: bool,
    /// As on silicon; without, the kernel clears and copies with plain stores, and the TSC counts instructions.
    pub fast_strings: bool,
    /// Features that the CPU has on request, as Bochs calls them.
    pub with: &'a [String],
    /// Features that the CPU does not have.
    pub without: &'a [String],
    pub terminal: Option<(PathBuf, std::fs::File)>,
}

/// What the guest's init is to do.
pub enum Settings {
    /// Run these programs of `/tests` one after the other.
    Tests(Vec<String>),
    /// Run `/job/run`.
    Run,
    /// An interactive shell in a terminal of this size (rows, columns) and kind.
    Shell(u16, u16, String),
}

impl Settings {
    /// As init reads them.
    pub fn text(&self, module: Option<&str>) -> String {
        let module = module.map(|name| format!("module={name}\n")).unwrap_or_default();
        match self {
            Settings::Tests(names) => format!("{module}mode=tests\ntests='{}'\n", names.join(" ")),
            Settings::Run => format!("{module}mode=run\n"),
            Settings::Shell(rows, columns, term) => {
                let term = quote(term);
                format!("{module}mode=shell\nrows={rows}\ncolumns={columns}\nexport TERM={term}\n")
            }
        }
    }
}

/// A word of a shell script that stands for `text`.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Runs two jobs side by side; a panic in one is an error.
fn both<A: Send, B: Send>(
    a: impl FnOnce() -> Result<A> + Send,
    b: impl FnOnce() -> Result<B> + Send,
) -> (Result<A>, Result<B>) {
    std::thread::scope(|scope| {
        let other = scope.spawn(b);
        let a = a();
        let b = other.join().unwrap_or_else(|_| Err(anyhow!("a step of the preparation panicked")));
        (a, b)
    })
}

/// Checks a number of CPUs.
pub fn check_cpus(cpus: u8) -> Result<()> {
    if !(1..=4).contains(&cpus) {
        bail!("{cpus} CPUs; 1 to 4 can be had");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_the_shell() {
        let odd = "it's $HOME `x` \"y\" \\ \n end";
        let output =
            std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quote(odd))).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), odd);
    }

    #[test]
    fn settings_are_shell_assignments() {
        assert_eq!(
            Settings::Tests(vec!["a".into(), "b".into()]).text(Some("xfd.ko")),
            "module=xfd.ko\nmode=tests\ntests='a b'\n"
        );
        assert_eq!(Settings::Run.text(None), "mode=run\n");
    }

    #[test]
    fn a_failure_of_one_side_does_not_hide_the_other() {
        let (a, b) = both(|| Ok(1), || -> Result<()> { bail!("no") });
        assert_eq!(a.unwrap(), 1);
        assert_eq!(b.unwrap_err().to_string(), "no");
    }
}
