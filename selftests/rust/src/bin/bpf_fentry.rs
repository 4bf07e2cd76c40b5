// SPDX-License-Identifier: GPL-2.0
//! Attaches a BPF program to the entry of each given kernel function until standard input has a line or
//! ends. Prints `attached FUNCTION` or `refused FUNCTION: WHY` for each, then `ready`; at the end
//! `FUNCTION ran NUMBER`, which needs kernel.bpf_stats_enabled=1.

use clap::Parser;
use std::io;
use xfd_selftests::bpf::Functions;

/// Attaches BPF programs to the entries of kernel functions.
#[derive(Parser)]
struct Arguments {
    /// Names of functions.
    #[arg(required = true)]
    functions: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let all = Functions::of_the_kernel()?;
    let mut held = Vec::new();
    for function in Arguments::parse().functions {
        match all.enter(&function)? {
            Ok(program) => {
                println!("attached {function}");
                held.push((function, program));
            }
            Err(why) => println!("refused {function}: {why}"),
        }
    }
    println!("ready");
    io::stdin().read_line(&mut String::new())?;
    for (function, program) in held {
        println!("{function} ran {}", program.runs()?);
    }
    Ok(())
}
