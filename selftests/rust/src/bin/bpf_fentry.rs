// SPDX-License-Identifier: GPL-2.0
//! Holds a BPF program on the entry of each of these functions of the kernel until its standard input has a
//! line or ends. Says for each `attached FUNCTION` or `refused FUNCTION: WHY`, then `ready`.

use clap::Parser;
use std::io;
use xfd_selftests::bpf::Functions;

/// Puts BPF programs on the entries of kernel functions.
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
                held.push(program);
                println!("attached {function}");
            }
            Err(why) => println!("refused {function}: {why}"),
        }
    }
    println!("ready");
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
