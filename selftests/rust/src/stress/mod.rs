// SPDX-License-Identifier: GPL-2.0
//! Everything that can happen to a thread with tiles, at random, in hundreds of threads at once,
//! with all contents checked.
//!
//! ```text
//! supervisor                            starts processes, judges how they ended, counts
//!   -> process (process)              some threads, one ending, by seed, slot and generation
//!     -> thread (thread)              operations, by seed, slot, generation and thread (plan)
//!       -> child (child)              fork, vfork, exec, ptrace
//!   -> tracer, hotplug                disturb them from outside
//! ```

pub mod child;
pub mod outside;
pub mod plan;
pub mod process;
pub mod shared;
pub mod supervisor;
pub mod thread;

use shared::Shared;
use std::fmt;

/// Identifies a thread in a process in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The run's seed.
    pub seed: u64,
    /// The process's number among those running concurrently.
    pub slot: u32,
    /// How many processes, or programs after exec, had this number before.
    pub generation: u32,
    /// The thread's number in the process.
    pub thread: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            seed,
            slot,
            generation,
            thread,
        } = self;
        write!(f, "seed {seed} process {slot}.{generation} thread {thread}")
    }
}

/// Counts a failure, prints it at once, and ends the run.
pub fn failure(shared: &Shared, place: Place, what: fmt::Arguments<'_>) {
    // No allocation: this may be in a signal handler.
    let mut line = Line {
        text: [0; 400],
        len: 0,
    };
    let _ = fmt::write(&mut line, format_args!("# wrong: {place}: {what}\n"));
    crate::sys::print_now(std::str::from_utf8(&line.text[..line.len]).unwrap_or("# wrong\n"));
    shared.fail();
}

struct Line {
    text: [u8; 400],
    len: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for byte in s.bytes().filter(u8::is_ascii) {
            if self.len < self.text.len() {
                self.text[self.len] = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}
