// SPDX-License-Identifier: GPL-2.0
//! `machine`: prepares and boots an emulated computer with AMX, and runs our module and tests on a stock kernel in it.
//!
//! `command` has the commands; `judge` decides what a boot's results mean; `bench` measures costs; `boot` runs the
//! machine; `piece` builds its components; `workshop` has the tools for all of them. Each layer imports only from those
//! after it in this list.

mod bench;
mod boot;
mod command;
mod judge;
mod piece;
mod workshop;

use std::process::ExitCode;

use clap::Parser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use boot::verdict;
use command::cli::Cli;
use command::shell;
use workshop::child;
use workshop::progress;
use workshop::Usage;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A reader that goes away (`| head`) ends the program, as it ends others. Rust ignores the signal otherwise.
    // SAFETY: SIG_DFL is not a handler, so no code of ours runs in signal context.
    let _ = unsafe { nix::sys::signal::signal(nix::sys::signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) };
    if let Err(e) = watch_signals() {
        eprintln!("machine: cannot watch for signals: {e}");
        return ExitCode::from(verdict::NO_START);
    }
    match command::act(cli.command, cli.kernel.as_deref()) {
        Ok(status) => ExitCode::from(status),
        Err(e) if e.is::<Usage>() => {
            progress::note(&format!("machine: {e:#}"));
            ExitCode::from(verdict::USAGE)
        }
        Err(e) => {
            let advice = if child::is_full(&e) { format!("; {}", child::NO_SPACE) } else { String::new() };
            progress::note(&format!("machine: {e:#}{advice}"));
            ExitCode::from(verdict::NO_START)
        }
    }
}

/// Ends the program on Ctrl-C and the like. The kernel then kills its children, and the next run removes unfinished
/// components.
fn watch_signals() -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            shell::restore_terminal();
            eprintln!("\nmachine: interrupted; unfinished components will not be used");
            std::process::exit(i32::from(verdict::INTERRUPTED));
        }
    });
    Ok(())
}
