// SPDX-License-Identifier: GPL-2.0
//! `xfdctl doctor`: from the processor to the program, in the order in which one needs the other.
//!
//! ```text
//! processor (CPUID, XCR0) -> kernel -> permission, a use in a child -> memory
//!   beside them the module (and what keeps it away)
//!   then the program (what it did; tracee looks) -> death (what that means)
//! ```

mod cure;
mod death;
mod finding;
mod kernel;
mod memory;
mod module;
mod permission;
mod processor;
mod program;
mod tracee;
mod trial;

use finding::{Finding, State};
use std::ffi::OsString;

/// Something is wrong.
const WRONG: u8 = 1;

/// Prints all findings; the exit status.
///
/// # Errors
///
/// The program cannot be run or traced; nobody reads what is printed.
pub fn run(json: bool, program: &[OsString]) -> anyhow::Result<u8> {
    let (mut wrong, mut unknown) = (false, false);
    let mut say = |findings: Vec<Finding>| -> anyhow::Result<()> {
        for finding in findings {
            wrong |= finding.state == State::Wrong;
            unknown |= finding.state == State::Unknown;
            finding::print(&finding, json)?;
        }
        Ok(())
    };
    let (processor, features) = processor::look();
    let has_tiles = processor.iter().all(|finding| finding.state != State::Wrong);
    say(processor)?;
    let kernel = kernel::look(has_tiles);
    let gives_tiles = has_tiles && kernel.iter().all(|finding| finding.state != State::Wrong);
    say(kernel)?;
    if gives_tiles {
        say(permission::look())?;
        say(memory::look())?;
    }
    say(module::look())?;
    if let Some((name, args)) = program.split_first() {
        let trace = program::run(name, args, json)?;
        say(vec![death::explain(&trace, gives_tiles.then_some(features))])?;
    }
    Ok(match (wrong, unknown) {
        (true, _) => WRONG,
        (false, true) => crate::NOT_DONE,
        (false, false) => 0,
    })
}
