// SPDX-License-Identifier: GPL-2.0
//! Like `xfd_every`, for the module's own life cycle: it loads, fails to load, and is unloaded. It must not be
//! loaded beforehand.

use clap::Parser;
use std::process::ExitCode;
use xfd_selftests::every::choice::Choice;
use xfd_selftests::every::{path, table};
use xfd_selftests::{ktap, module};

/// Disturbs loading and unloading the module at each of its instructions.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    choice: Choice,
}

fn main() -> ExitCode {
    let choice = Arguments::parse().choice;
    if module::is_there() {
        return ktap::bail_out("the module is loaded: this test loads it itself");
    }
    if !std::path::Path::new(&module::path()).exists() {
        return ktap::skip_all(format!("no module {}", module::path()));
    }
    table::run(&path::of_module(), &choice)
}
