// SPDX-License-Identifier: GPL-2.0
//! `machine`: an emulated computer with AMX, a stock kernel in it, and our module and tests in that.
//!
//! `command` is what the user types; `judge` says what a boot was worth; `bench` counts instructions; `boot` is a
//! machine that runs; `piece` is what it is made of; `workshop` is what all of them are made with. Imports run
//! downwards
//! in this order.

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
