// SPDX-License-Identifier: GPL-2.0
//! `machine`: an emulated computer with AMX, a stock kernel in it, and our module and tests in that.
//!
//! In the order of a boot: `toolroot` (with `mirror`, `namespace`), `kernel` (`kconfig`, `relied_on`), `emulator`, `module`,
//! `programs` (with `software`, `real`), `initramfs`, `image`, `boot` (`console`, `klog`), `verdict`. `cache` keeps
//! each piece.

mod bench;
mod bench_plot;
mod bench_rows;
mod bench_table;
mod bench_targets;
mod boot;
mod cache;
mod check;
mod child;
mod cli;
mod columns;
mod console;
mod deb;
mod deb_life;
mod debug;
mod debug_kernel;
mod demo;
mod divergences;
mod docs;
mod elfdeps;
mod emulator;
mod every;
mod host;
mod hosttests;
mod image;
mod initramfs;
mod installed;
mod kconfig;
mod kernel;
mod kernels;
mod key;
mod klog;
mod ktap;
mod kvm_selftests;
mod kvmlog;
mod linux_guest;
mod machine;
mod mirror;
mod module;
mod namespace;
mod programs;
mod progress;
mod real;
mod recipe;
mod relied_on;
mod rows;
mod run;
mod scenario;
mod shell;
mod silicon;
mod software;
mod style;
mod table;
mod toolroot;
mod trial;
mod verdict;
mod x86log;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use cli::{Cli, Command, PieceName};
use machine::{Machine, Project};
use scenario::Class;

/// How many jobs run side by side: as many as there are processors.
fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(e) = watch_signals() {
        eprintln!("machine: cannot watch for signals: {e}");
        return ExitCode::from(verdict::NO_START);
    }
    match act(cli.command, cli.kernel.as_deref()) {
        Ok(status) => ExitCode::from(status),
        Err(e) => {
            progress::note(&format!("machine: {e:#}"));
            ExitCode::from(verdict::NO_START)
        }
    }
}

/// Ctrl-C and its like end the program; the kernel then kills its children, and the next run removes what is
/// half-made.
fn watch_signals() -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            shell::restore_terminal();
            eprintln!("\nmachine: interrupted; nothing half-made will be used");
            std::process::exit(i32::from(verdict::INTERRUPTED));
        }
    });
    Ok(())
}

fn act(command: Command, kernel: Option<&str>) -> Result<u8> {
    let project = &Project::find(kernel)?;
    match command {
        Command::Prepare { piece } => prepare(project, piece),
        Command::Make { args } => {
            let passed = project.module(&project.kernel()?).run_make(&args)?;
            Ok(if passed { verdict::PASS } else { verdict::FAIL })
        }
        Command::Run(options) => run::run(
            project,
            &run::Options {
                cpus: options.machine.cpus,
                memory_mib: options.machine.memory,
                module: options.machine.module,
                cmdline: options.machine.cmdline,
                features: options.features,
                show_console: options.console,
                timeout: options.timeout,
                with: options.with,
                program: options.program,
            },
        ),
        Command::Shell { machine } => {
            shell::shell(project, machine.cpus, machine.memory, machine.module, &machine.cmdline)
        }
        Command::Check { filter, long, kvm } => {
            let class = match (long, kvm) {
                (true, _) => Class::Long,
                (false, true) => Class::Kvm,
                (false, false) => Class::Usual,
            };
            check::check(project, filter.as_deref(), class)
        }
        Command::CheckDebug { filter, rt, kcsan } => {
            let kind = match (rt, kcsan) {
                (true, _) => debug_kernel::Kind::Rt,
                (_, true) => debug_kernel::Kind::Kcsan,
                _ => debug_kernel::Kind::Preempt,
            };
            debug::check(project, filter.as_deref(), kind)
        }
        Command::Host { release, load, unread } => host::host(project, release.as_deref(), load, unread),
        Command::Deb { all: true, .. } => {
            project.refuse_kernel("deb --all")?;
            deb::deb(project, &deb::For::All)
        }
        Command::Deb { release: None, .. } if project.is_asked() => deb::deb(project, &deb::For::Asked),
        Command::Deb { release, .. } => {
            project.refuse_kernel("deb --release")?;
            deb::deb(project, &deb::For::Host(release.as_deref()))
        }
        Command::CheckKernels { filter } => kernels::check(project, filter.as_deref()),
        Command::Table => table::table(project),
        Command::Bench => bench::bench(project),
        Command::Demo => demo::demo(project),
        Command::Docs => docs::docs(project),
    }
}

/// Prepares, and prints where the one piece asked for is.
fn prepare(project: &Project, piece: Option<PieceName>) -> Result<u8> {
    let Some(piece) = piece else {
        let machine = Machine::prepare(project)?;
        machine.module_and_programs(true)?;
        return Ok(verdict::PASS);
    };
    let root = project.toolroot()?;
    let paths = match piece {
        PieceName::Toolchain => vec![root.file("/")],
        PieceName::Emulator => vec![project.emulator(&root)?.program()],
        PieceName::Kernel => vec![project.kernel()?.tree()],
        PieceName::Module => {
            let kernel = project.kernel()?;
            vec![project.module(&kernel).module()?.path().join(module::MODULE)]
        }
        PieceName::Programs => {
            let kernel = project.kernel()?;
            let programs = project.programs(&root, &kernel)?;
            programs.names().filter_map(|name| programs.get(name)).map(Path::to_path_buf).collect()
        }
    };
    for path in paths {
        println!("{}", path.display());
    }
    Ok(verdict::PASS)
}
