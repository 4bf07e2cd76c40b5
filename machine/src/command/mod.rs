// SPDX-License-Identifier: GPL-2.0
//! The commands of `machine`.

pub mod check;
pub mod check_builtin;
pub mod check_debug;
pub mod check_emulator;
pub mod check_gdb;
pub mod check_kernels;
pub mod check_litmus;
pub mod check_packages;
pub mod check_run;
pub mod check_upstream;
pub mod clean;
pub mod cli;
pub mod deb;
pub mod demo;
pub mod docs;
pub mod host;
pub mod host_tests;
pub mod job;
pub mod prepare;
pub mod report;
pub mod run;
pub mod shell;
pub mod table;
pub mod with;
pub mod written;

use anyhow::Result;

use crate::bench;
use crate::boot::verdict;
use crate::judge::scenario::Class;
use crate::piece::kernel::debug;
use crate::piece::project::Project;
use crate::workshop::manifest::Damaged;
use cli::Command;

/// Runs the command, and returns the exit status. `kernel` is the value of `--kernel`. If a step finds that a component
/// in use is damaged, runs the command once more, which builds that component again.
///
/// # Errors
///
/// There is no checkout; the command fails.
pub fn act(command: Command, kernel: Option<&str>) -> Result<u8> {
    match once(command.clone(), kernel) {
        Err(e) if e.chain().any(|cause| cause.is::<Damaged>()) => once(command, kernel),
        ended => ended,
    }
}

fn once(command: Command, kernel: Option<&str>) -> Result<u8> {
    let project = &Project::find(kernel)?;
    match command {
        Command::Prepare { component } => prepare::prepare(project, component),
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
                debugger: options.machine.gdb,
                features: options.features,
                show_console: options.console,
                timeout: options.timeout,
                boot: options.boot,
                with: options.with,
                environment: options.environment,
                out: options.out,
                program: options.program,
            },
        ),
        Command::Shell { machine, with } => shell::shell(
            project,
            &shell::Options {
                cpus: machine.cpus,
                memory_mib: machine.memory,
                module: machine.module,
                cmdline: machine.cmdline,
                debugger: machine.gdb,
                with,
            },
        ),
        Command::Check { filter, long, kvm, output } => {
            let class = match (long, kvm) {
                (true, _) => Class::Long,
                (false, true) => Class::Kvm,
                (false, false) => Class::Usual,
            };
            check::check(project, filter.as_deref(), class, &output)
        }
        Command::CheckDebug { filter, rt, kcsan, output } => {
            let kind = match (rt, kcsan) {
                (true, _) => debug::Kind::Rt,
                (_, true) => debug::Kind::Kcsan,
                _ => debug::Kind::Preempt,
            };
            check_debug::check(project, filter.as_deref(), kind, &output)
        }
        Command::CheckBuiltin { filter, output } => check_builtin::check(project, filter.as_deref(), &output),
        Command::CheckUpstream { filter, output } => check_upstream::check(project, filter.as_deref(), &output),
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
        Command::CheckKernels { filter, output } => check_kernels::check(project, filter.as_deref(), &output),
        Command::Table => table::table(project),
        Command::Bench { builtin: false } => bench::bench(project),
        Command::Bench { builtin: true } => bench::builtin(project),
        Command::Demo => demo::demo(project),
        Command::Docs => docs::docs(project),
        Command::Clean { list: true, pieces, .. } => clean::list(project, &pieces),
        Command::Clean { verify: true, pieces, .. } => clean::verify(project, &pieces),
        Command::Clean { pieces, .. } => clean::clean(project, &pieces),
    }
}
