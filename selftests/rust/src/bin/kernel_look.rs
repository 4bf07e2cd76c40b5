// SPDX-License-Identifier: GPL-2.0
//! Inspects the running kernel, for tests that compare before and after: one query per argument.
//!
//! ```text
//! calls=FUNCTION   its calls and jumps to other functions: FUNCTION: call TARGET
//! list=HEAD        the number of members of a list: HEAD: NUMBER
//! word=SYMBOL+N    the four bytes there: SYMBOL+N: NUMBER
//! text=FUNCTION    its address and bytes: FUNCTION ADDRESS BYTES (for rust/xstate/tests/near_calls/)
//! ```

use anyhow::{bail, Context};
use clap::Parser;
use xfd_selftests::kernel_text::KernelText;

/// Shows parts of the running kernel.
#[derive(Parser)]
struct Arguments {
    /// What to show: calls=FUNCTION, list=HEAD, word=SYMBOL+N, text=FUNCTION.
    #[arg(required = true)]
    questions: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let text = KernelText::now()?;
    for question in Arguments::parse().questions {
        let (kind, what) = question
            .split_once('=')
            .context("a question is KIND=WHAT")?;
        match kind {
            "calls" => {
                for reference in text.references(what)? {
                    println!("{what}: {} {}", reference.kind, reference.target);
                }
            }
            "list" => println!("{what}: {}", text.list(what)?.len()),
            "word" => {
                let (symbol, offset) = what.split_once('+').context("SYMBOL+N")?;
                let address = text.find(symbol)? + offset.parse::<u64>()?;
                println!(
                    "{what}: {}",
                    u32::from_le_bytes(text.bytes(address, 4)?.try_into()?)
                );
            }
            "text" => {
                let (address, bytes) = text.function(what)?;
                let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                println!("{what} {address:#x} {bytes}");
            }
            _ => bail!("{question}: no such question"),
        }
    }
    Ok(())
}
