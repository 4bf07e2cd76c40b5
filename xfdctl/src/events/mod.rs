// SPDX-License-Identifier: GPL-2.0
//! The module's trace events, as they happen.
//!
//! ```text
//! selection (what the user asks for) -> tracefs -> instance (our own, with the kernel's filters)
//!   -> session (waits, reads, ends) -> page (of the ring buffer) -> format (of records) -> event -> who
//!   and program (that runs meanwhile)
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
pub mod fixture;

pub use event::{Event, Verdict, What};
pub use selection::Selection;
pub use session::Session;
