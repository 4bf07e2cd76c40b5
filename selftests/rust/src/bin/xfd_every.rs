// SPDX-License-Identifier: GPL-2.0
//! Takes each path through the kernel repeatedly, disturbed at each of its instructions. Gives one result for each
//! pair of path and disturbance.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use xfd_selftests::every::choice::Choice;
use xfd_selftests::every::{path, table};
use xfd_selftests::ktap;

/// Disturbs paths through the kernel at each of their instructions.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    choice: Choice,

    #[command(subcommand)]
    executed: Option<Executed>,
}

/// A program executed by a process on a path.
#[derive(Subcommand)]
enum Executed {
    #[command(hide = true)]
    Executed { fd: i32 },
    #[command(hide = true)]
    Woken { fd: i32 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let went_on = match arguments.executed {
        None => return table::run(&path::of_tasks(), &arguments.choice),
        Some(Executed::Executed { fd }) => path::go_on_executed(fd),
        Some(Executed::Woken { fd }) => path::go_on_woken(fd),
    };
    match went_on {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ktap::remark(format!("executed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
