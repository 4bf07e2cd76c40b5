// SPDX-License-Identifier: GPL-2.0
//! Takes each path through the kernel again and again, disturbed at each of its instructions: a result for each
//! path and each disturbance.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use xfd_selftests::every::{path, table};
use xfd_selftests::ktap;

/// Disturbs paths through the kernel at each of their instructions.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    choice: table::Choice,

    #[command(subcommand)]
    executed: Option<Executed>,
}

#[derive(Subcommand)]
enum Executed {
    #[command(hide = true)]
    Executed { fd: i32 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(Executed::Executed { fd }) = arguments.executed else {
        return table::run(path::ALL, &arguments.choice);
    };
    match path::go_on_executed(fd) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ktap::remark(format!("executed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
