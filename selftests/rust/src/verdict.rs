// SPDX-License-Identifier: GPL-2.0
//! The last line of a program that a test in shell starts and watches.

use std::process::ExitCode;

/// Prints `right`, or `wrong: ` and why; the program's status.
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
