// SPDX-License-Identifier: GPL-2.0
//! Like `xfd_every`, for the kernel FPU code that KVM calls.

use clap::Parser;
use std::process::ExitCode;
use xfd_selftests::every::choice::Choice;
use xfd_selftests::every::{path, table};
use xfd_selftests::{ktap, kvm};

/// Disturbs paths through KVM at each of their instructions.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    choice: Choice,
}

fn main() -> ExitCode {
    let choice = Arguments::parse().choice;
    match kvm::missing() {
        Ok(None) => table::run(&path::of_guests(), &choice),
        Ok(Some(why)) => ktap::skip_all(why),
        Err(error) => ktap::bail_out(format!("{error:#}")),
    }
}
