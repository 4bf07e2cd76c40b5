// SPDX-License-Identifier: GPL-2.0
//! `xfdctl doctor`: checks everything from the processor to the program, in dependency order.
//!
//! ```text
//! processor (CPUID, XCR0) -> kernel -> permission, a first use in a child (trial) -> memory, limits
//!   the module, and what keeps it from being loaded (log, signature)
//!   the program: what it did (tracer, tracee) -> death: what that means (refusal, instruction)
//! ```

mod cure;
mod death;
mod finding;
mod instruction;
mod kernel;
mod limits;
mod log;
mod memory;
mod module;
mod permission;
mod processor;
mod program;
mod refusal;
mod signature;
mod tracee;
mod tracer;
mod trial;

use finding::{Finding, State};
use std::ffi::OsString;

/// Something is wrong.
const WRONG: u8 = 1;

/// Prints all findings; returns the exit status.
///
/// # Errors
///
/// Fails if nobody reads the output.
pub fn run(json: bool, program: &[OsString]) -> anyhow::Result<u8> {
    let mut states = Vec::new();
    let mut say = |findings: Vec<Finding>| -> anyhow::Result<()> {
        for finding in findings {
            states.push(finding.state);
            finding::print(&finding, json)?;
        }
        Ok(())
    };
    let (processor, mut machine) = processor::check();
    let nothing_is_wrong = processor.iter().all(|finding| finding.state != State::Wrong);
    say(processor)?;
    let kernel = kernel::check(nothing_is_wrong);
    machine.gives_tiles = kernel.iter().all(|finding| finding.state == State::Ok);
    say(kernel)?;
    if machine.gives_tiles {
        say(permission::check())?;
        say(memory::check())?;
        say(limits::check())?;
    }
    say(module::check(log::read().as_deref(), machine.gives_tiles))?;
    if let Some((name, args)) = program.split_first() {
        match program::run(name, args, json) {
            Ok(trace) => say(vec![death::explain(&trace, machine, log::read().as_deref())])?,
            Err(error) => {
                crate::complain(&error);
                states.push(State::Unknown);
            }
        }
    }
    Ok(status(&states))
}

/// The exit status. Problems take precedence over what could not be checked.
fn status(states: &[State]) -> u8 {
    if states.contains(&State::Wrong) {
        WRONG
    } else if states.contains(&State::Unknown) {
        crate::NOT_DONE
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_the_worst_state() {
        assert_eq!(status(&[State::Ok, State::Note]), 0);
        assert_eq!(status(&[State::Ok, State::Unknown]), 3);
        assert_eq!(status(&[State::Wrong, State::Unknown, State::Ok]), 1);
    }
}
