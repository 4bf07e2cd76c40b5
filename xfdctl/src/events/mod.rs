// SPDX-License-Identifier: GPL-2.0
//! The module's trace events, as they happen.
//!
//! ```text
//! selection (what is asked for) -> tracefs -> instance (of our own, with the kernel's filters)
//!   -> session (waits, reads, ends) -> page (the ring buffer's) -> format (the kernel's) -> event -> who
//!   beside them program (that is run meanwhile) and signals
//! ```

pub mod event;
mod format;
mod instance;
mod page;
pub mod program;
pub mod selection;
pub mod session;
mod tracefs;
mod who;

#[cfg(test)]
mod fixture;

pub use event::{Event, Verdict, What};
pub use selection::Selection;
pub use session::Session;
