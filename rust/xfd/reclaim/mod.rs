// SPDX-License-Identifier: GPL-2.0
//! Reclaim: takes the enlarged buffer of a sleeping task that does not need tiles.
//!
//! [`pass`] takes buffers (background.c, tasks.c). [`regrow`] gives each task a buffer again before
//! it runs in user mode, handles a signal or stops for a tracer (owed.c). `give_back` does that for all
//! of them before the module is unloaded.

#[cfg(MODULE)]
pub(crate) mod give_back;
pub(crate) mod pass;
pub(crate) mod regrow;
