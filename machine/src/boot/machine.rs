// SPDX-License-Identifier: GPL-2.0
//! The machine with its components, and the ways to boot, save and restore it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};

use crate::boot::console::Event;
use crate::boot::debugger::{self, Debugger};
use crate::boot::{self, verdict, Boot, Feed, From, Report};
use crate::piece::emulator::Emulator;
use crate::piece::image::{self, Image};
use crate::piece::initramfs::Initramfs;
use crate::piece::kernel::Kernel;
use crate::piece::kernel::{builtin, debug};
use crate::piece::module;
use crate::piece::programs::Programs;
use crate::piece::project::Project;
use crate::piece::toolroot::Toolroot;
use crate::workshop::both;
use crate::workshop::cache::Piece;
use crate::workshop::key::Key;
use crate::workshop::progress::{note, Step};
use crate::workshop::recipe::{self};

/// A file in a saved machine's folder: how many milliseconds its boot took.
const TIME: &str = "milliseconds";
/// The time limit for booting a machine to save it.
const BOOTED: Duration = Duration::from_secs(600);
/// A file in the emulator's folder: the MSRs of a CPU with fast strings.
const MSRS: &str = "fast-strings.msrs";

/// Everything that a boot needs.
pub struct Machine<'a> {
    pub project: &'a Project,
    pub root: Toolroot,
    pub kernel: Kernel,
    pub emulator: Emulator,
    /// The suffix for names of logs and images; empty with the default kernel.
    pub suffix: String,
    /// More lines for the emulator's configuration.
    pub config: String,
    /// The debugger's socket and scripts, if it has any.
    debugger: Option<Debugger>,
    /// The stock kernel, if another one is booted.
    stock: Option<Kernel>,
    template: String,
}

impl Machine<'_> {
    /// Prepares the root, then kernel and emulator in parallel.
    pub fn prepare(project: &Project) -> Result<Machine<'_>> {
        let root = project.toolroot()?;
        let (kernel, emulator) = both(|| project.kernel(), || project.emulator(&root));
        Machine::of(project, root, kernel?, emulator?)
    }

    /// The same with this kernel of the recipe.
    pub fn prepare_with<'a>(project: &'a Project, kernel: &recipe::Kernel) -> Result<Machine<'a>> {
        let root = project.toolroot()?;
        let (kernel, emulator) = both(|| project.prepare_kernel(kernel), || project.emulator(&root));
        Machine::of(project, root, kernel?, emulator?)
    }

    fn of(project: &Project, root: Toolroot, kernel: Kernel, emulator: Emulator) -> Result<Machine<'_>> {
        let template = image::template(&project.bochs())?;
        let suffix = project.suffix(&kernel);
        let (config, debugger, stock) = (String::new(), None, None);
        Ok(Machine { project, kernel, emulator, suffix, config, debugger, stock, root, template })
    }

    /// The same machine with a socket for a debugger.
    pub fn with_debugger(self) -> Result<Self> {
        let emulator = self.project.emulator_with_debugger(&self.root)?;
        let debugger = Some(Debugger::prepare(self.project, &self.kernel)?);
        Ok(Machine { emulator, debugger, ..self })
    }

    /// The same machine with another kernel.
    pub fn with(self, kernel: Kernel) -> Self {
        Machine { suffix: self.project.suffix(&kernel), kernel, ..self }
    }

    /// The same with a debug kernel, and the root that builds it.
    pub fn prepare_debug(project: &Project, kind: debug::Kind) -> Result<Machine<'_>> {
        let stock = Machine::prepare(project)?;
        let recipe = &project.recipe;
        let with = recipe.toolroot(stock.kernel.root().name())?;
        let root = Toolroot::with(&recipe.debug_kernel.packages, &project.cache, with)?;
        let machine = project.dir.join("machine");
        let kernels = debug::Builder { cache: &project.cache, root, stock: &stock.kernel, recipe, machine: &machine };
        let kernel = kernels.prepare(kind)?;
        Ok(Machine { kernel, stock: Some(stock.kernel), ..stock })
    }

    /// The same with the kernel into which the subsystem is built.
    pub fn prepare_builtin(project: &Project) -> Result<Machine<'_>> {
        let stock = Machine::prepare(project)?;
        let Project { cache, recipe, dir, .. } = project;
        let root = Toolroot::prepare(cache, recipe.toolroot(stock.kernel.root().name())?)?;
        let built = builtin::Builder { cache, root, stock: &stock.kernel, kernels: &recipe.kernels, project: dir };
        let kernel = built.prepare()?;
        Ok(Machine { kernel, stock: Some(stock.kernel), ..stock })
    }

    /// The same machine with a kernel built from the stock kernel's source.
    pub fn with_built(self, kernel: Kernel) -> Self {
        Machine { suffix: self.project.suffix(&kernel), kernel, stock: Some(self.kernel), ..self }
    }

    /// The stock kernel. Whatever kernel is booted, programs are built with its headers and selftests, and Linux guests
    /// run it.
    pub fn stock(&self) -> &Kernel {
        self.stock.as_ref().unwrap_or(&self.kernel)
    }

    /// The module for `kernel`.
    pub fn module(&self, kernel: &Kernel) -> Result<Piece> {
        self.project.module(kernel).module()
    }

    /// The module (if `module` is set) and the programs, prepared in parallel.
    pub fn module_and_programs(&self, module: bool) -> Result<(Option<Piece>, Programs)> {
        let programs = || self.project.programs(&self.root, self.stock());
        let (module, programs) = both(|| module.then(|| self.module(&self.kernel)).transpose(), programs);
        Ok((module?, programs?))
    }

    /// A guest's file system with `settings` for init, and with the modules if there are any, of which init loads
    /// `load`.
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
        if matches!(settings, Settings::Job { .. }) {
            files.file("bin/agent", &self.project.agent(&self.root)?.program())?;
        }
        files.content("job/settings", 0o644, settings.text(load));
        if self.debugger.is_some() {
            files.content("job/gdb", 0o644, debugger::GUEST);
        }
        Ok(files)
    }

    /// Boots a machine with the file system `files`.
    pub fn boot(&self, files: &Initramfs, how: &How, event: impl FnMut(Event)) -> Result<Report> {
        let image = self.image(files, how)?;
        self.start(Begin { from: From::Image(&image.iso()), save: None, feed: None }, how, event)
    }

    /// The same; `feed` writes to the guest's agent.
    pub fn boot_fed(&self, files: &Initramfs, how: &How, feed: Feed, event: impl FnMut(Event)) -> Result<Report> {
        let image = self.image(files, how)?;
        self.start(Begin { from: From::Image(&image.iso()), save: None, feed: Some(feed) }, how, event)
    }

    /// Continues from a saved machine; `feed` writes to the guest's agent.
    pub fn restore(&self, state: &Piece, how: &How, feed: Feed, event: impl FnMut(Event)) -> Result<Report> {
        self.start(Begin { from: From::State(state.path()), save: None, feed: Some(feed) }, how, event)
    }

    /// The machine, saved at the point where the agent of `files` allows it; boots and saves it unless that was done
    /// before. `variant` stands for `files` in its name, and `how` is how it will be restored.
    ///
    /// # Errors
    ///
    /// It does not reach that point; no space.
    pub fn saved(&self, variant: &str, files: &Initramfs, how: &How) -> Result<Piece> {
        let name = format!("state-{}{variant}-{}cpu-{}", self.kernel.name(), how.cpus, how.memory_mib);
        let key = Key::new()
            .add("emulator", self.emulator.program().to_string_lossy().as_bytes())
            .add("template", &self.template)
            .add("kernel", self.kernel.key())
            .add("files", files.key())
            .finish();
        // The limits of a run are not those of this boot.
        let how = How { name: &name, quiet: BOOTED, total: BOOTED, terminal: None, ..*how };
        self.project.cache.piece(&name, &key, |dir| {
            let step = Step::start(&name, "booting the machine to save it for later");
            let image = self.image(files, &how)?;
            let mut trouble = None;
            let begin = Begin { from: From::Image(&image.iso()), save: Some(dir), feed: None };
            let start = Instant::now();
            let report = self.start(begin, &how, |event| trouble = trouble.take().or(event.trouble()))?;
            if let Some(why) = verdict::reason(&report.end, &report.problems).or(trouble) {
                bail!("{why}; console log: {}", report.log.display());
            }
            fs::write(dir.join(TIME), start.elapsed().as_millis().to_string())?;
            step.done();
            Ok(())
        })
    }

    /// How long the boot of a saved machine took, on the host where it was saved.
    pub fn time_to_save(state: &Piece) -> Result<Duration> {
        let path = state.path().join(TIME);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Duration::from_millis(text.parse().with_context(|| format!("{} is malformed", path.display()))?))
    }

    fn image(&self, files: &Initramfs, how: &How) -> Result<Image> {
        let name = format!("{}{}", how.name, self.suffix);
        let fred = how.with.iter().any(|f| f == "fred").then(|| format!("{} fred=on", how.cmdline));
        let cmdline = fred.as_deref().unwrap_or(how.cmdline);
        // The symbols' addresses are those of the kernel's image.
        let cmdline = if self.debugger.is_some() { &format!("{cmdline} nokaslr") } else { cmdline };
        Image::prepare(&self.project.cache, &self.root, &self.kernel, &name, files, cmdline)
    }

    fn start(&self, begin: Begin, how: &How, mut event: impl FnMut(Event)) -> Result<Report> {
        if let Some(debugger) = &self.debugger {
            note(&format!("to debug, run in another terminal: {}", debugger.line()));
        }
        let terminal = how.terminal.as_ref().map(|(path, file)| anyhow::Ok((path.clone(), file.try_clone()?)));
        // Two runs at the same time have separate logs.
        let (name, _taken) = self.project.cache.free_name(&format!("{}{}", how.name, self.suffix))?;
        let msrs = self.project.bochs().join(MSRS);
        let mut cpu_more = String::new();
        if how.fast_strings {
            cpu_more.push_str(&format!(", msrs=\"{MSRS}\""));
        }
        for (option, features) in [("add_features", how.with), ("exclude_features", how.without)] {
            if !features.is_empty() {
                cpu_more.push_str(&format!(", {option}=\"{}\"", features.join(", ")));
            }
        }
        let boot = Boot {
            name: &name,
            from: begin.from,
            save: begin.save,
            feed: begin.feed,
            template: &self.template,
            cpus: how.cpus,
            memory_mib: how.memory_mib,
            // A machine that the debugger has stopped prints nothing.
            quiet: self.debugger.as_ref().map_or(how.quiet, |_| Duration::MAX),
            total: how.total,
            show_console: how.show_console,
            cpu_more: &cpu_more,
            cpu_file: &msrs,
            config: &self.config,
            debugger: self.debugger.as_ref().map(Debugger::socket),
            terminal: terminal.transpose()?,
        };
        let event = |said| {
            if let (Event::Sections(sections), Some(debugger)) = (&said, &self.debugger) {
                debugger.module_is_loaded(sections);
            }
            event(said);
        };
        boot::boot(&self.project.cache, &self.emulator, boot, event)
    }
}

/// What a machine starts from, where it is saved, and what feeds its agent.
struct Begin<'a> {
    from: From<'a>,
    save: Option<&'a Path>,
    feed: Option<Feed>,
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
    /// Fast strings, as on silicon. Without them the kernel clears and copies with plain stores, and the TSC counts
    /// instructions.
    pub fast_strings: bool,
    /// Optional features to give to the CPU, by Bochs's names.
    pub with: &'a [String],
    /// Features to take away from the CPU.
    pub without: &'a [String],
    pub terminal: Option<(PathBuf, std::fs::File)>,
}

/// What the guest's init has to do.
pub enum Settings {
    /// Run these programs of `/tests` one after the other.
    Tests(Vec<String>),
    /// Run the job that the agent is sent; with `save`, the machine is saved before that.
    Job { save: bool },
    /// Run an interactive shell in a terminal of this size (rows, columns) and type.
    Shell(u16, u16, String),
}

impl Settings {
    /// The settings in the form that init reads; `module` is what it loads.
    pub fn text(&self, module: Option<&str>) -> String {
        let module = module.map(|name| format!("module={name}\n")).unwrap_or_default();
        match self {
            Settings::Tests(names) => format!("{module}mode=tests\ntests='{}'\n", names.join(" ")),
            Settings::Job { save } => format!("{module}mode=job\nsave={}\n", if *save { "1" } else { "" }),
            Settings::Shell(rows, columns, term) => {
                let term = quote(term);
                format!("{module}mode=shell\nrows={rows}\ncolumns={columns}\nexport TERM={term}\n")
            }
        }
    }
}

/// Quotes `text` as one word of a shell script.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Checks that the machine can have this number of CPUs.
pub fn check_cpus(cpus: u8) -> Result<()> {
    if !(1..=4).contains(&cpus) {
        bail!("{cpus} CPUs: the machine can have 1 to 4");
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
        assert_eq!(Settings::Job { save: true }.text(None), "mode=job\nsave=1\n");
    }
}
