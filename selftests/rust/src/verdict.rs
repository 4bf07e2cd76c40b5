// SPDX-License-Identifier: GPL-2.0
//! The last line of output from a program that a shell test starts and watches.

use std::process::ExitCode;

/// Prints `right`, or `wrong: ` and the reason, and returns the program's exit status.
pub fn say(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => {
            println!("right");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("wrong: {error:#}");
            ExitCode::FAILURE
        }
    }
}
