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
use crate::kernel::Kernel;
use crate::module;
use crate::programs::{self, Programs};
use crate::recipe::Recipe;
use crate::toolroot::Toolroot;

/// The checkout, its cache and its recipe.
pub struct Project {
    pub dir: PathBuf,
    pub cache: Cache,
    pub recipe: Recipe,
}

impl Project {
    /// The checkout around the working directory, or else the one that this program was built in. The
    /// cache is `.cache` in it, or `XFD_CACHE`.
    pub fn find() -> Result<Project> {
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
        Ok(Project { dir, cache, recipe })
    }

    /// The toolchain root.
    pub fn toolroot(&self) -> Result<Toolroot> {
        Toolroot::prepare(&self.cache, &self.recipe.toolroot)
    }

    /// The kernel.
    pub fn kernel(&self, root: &Toolroot) -> Result<Kernel> {
        Kernel::prepare(&self.cache, root, &self.recipe.kernel)
    }

    /// The emulator.
    pub fn emulator(&self, root: &Toolroot) -> Result<Emulator> {
        Emulator::prepare(&self.cache, root, &self.recipe.emulator, &self.bochs())
    }

    /// How the module is built.
    pub fn module<'a>(&'a self, root: &'a Toolroot, kernel: &'a Kernel) -> module::Builder<'a> {
        module::Builder { cache: &self.cache, root, kernel, project: &self.dir }
    }

    /// The programs for the guest.
    pub fn programs(&self, root: &Toolroot, kernel: &Kernel) -> Result<Programs> {
        programs::Builder { cache: &self.cache, root, kernel, software: &self.recipe.software, project: &self.dir }
            .programs()
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
    /// The stock kernel, if it is not the one that is booted.
    stock: Option<Kernel>,
    template: String,
}

impl Machine<'_> {
    /// Prepares root, kernel and emulator, the last two side by side.
    pub fn prepare(project: &Project) -> Result<Machine<'_>> {
        let root = project.toolroot()?;
        let (kernel, emulator) = both(|| project.kernel(&root), || project.emulator(&root));
        let template = image::template(&project.bochs())?;
        Ok(Machine { project, kernel: kernel?, emulator: emulator?, stock: None, root, template })
    }

    /// The same with a debug kernel, and the root that builds it.
    pub fn prepare_debug(project: &Project, kind: debug_kernel::Kind) -> Result<Machine<'_>> {
        let stock = Machine::prepare(project)?;
        let recipe = &project.recipe;
        let root = Toolroot::with(&recipe.debug_kernel.packages, &project.cache, &recipe.toolroot)?;
        let machine = project.dir.join("machine");
        let kernels = debug_kernel::Builder {
            cache: &project.cache,
            root: &root,
            stock: &stock.kernel,
            recipe,
            machine: &machine,
        };
        let kernel = kernels.prepare(kind)?;
        Ok(Machine { kernel, root, stock: Some(stock.kernel), ..stock })
    }

    /// The stock kernel: programs are built with its headers and selftests, and a Linux guest runs it on any kernel.
    pub fn stock(&self) -> &Kernel {
        self.stock.as_ref().unwrap_or(&self.kernel)
    }

    /// The module for `kernel`.
    pub fn module(&self, kernel: &Kernel) -> Result<Piece> {
        self.project.module(&self.root, kernel).module()
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
        let image = Image::prepare(&self.project.cache, &self.root, &self.kernel, how.name, files, how.cmdline)?;
        let terminal = how.terminal.as_ref().map(|(path, file)| anyhow::Ok((path.clone(), file.try_clone()?)));
        // Two runs at once have logs of their own.
        let (name, _taken) = self.project.cache.free_name(how.name)?;
        let msrs = self.project.bochs().join("fast-strings.msrs");
        let cpu_more = if how.fast_strings { format!(", msrs=\"{}\"", msrs.display()) } else { String::new() };
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
