// SPDX-License-Identifier: GPL-2.0
//! Looks at the running kernel, for tests that compare before and after.

use clap::Parser;
use xfd_selftests::kernel_text::KernelText;

/// Shows parts of the running kernel, a line each.
#[derive(Parser)]
enum Arguments {
    /// Calls and jumps of a function: `call TARGET` or `jmp TARGET`.
    Calls {
        /// The function; a suffix of the compiler's may be left out.
        function: String,
    },
    /// The members of a list, by address.
    List {
        /// The symbol of its head.
        head: String,
    },
    /// A word of four bytes.
    Word {
        /// The symbol from which to count.
        symbol: String,
        /// Bytes from there.
        offset: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let text = KernelText::now()?;
    match Arguments::parse() {
        Arguments::Calls { function } => {
            for reference in text.references(&function)? {
                println!("{} {}", reference.kind, reference.target);
            }
        }
        Arguments::List { head } => {
            for member in text.list(&head)? {
                println!("{member:#x}");
            }
        }
        Arguments::Word { symbol, offset } => {
            let address = text.find(&symbol)? + offset;
            println!(
                "{}",
                u32::from_le_bytes(text.bytes(address, 4)?.try_into()?)
            );
        }
    }
    Ok(())
}
