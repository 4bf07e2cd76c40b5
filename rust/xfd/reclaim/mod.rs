// SPDX-License-Identifier: GPL-2.0
//! Reclaim: a task that is blocked and needs no tiles lends its enlarged buffer to others.
//!
//! [`pass`] takes buffers (background.c, tasks.c); [`regrow`] gives each task one back before it runs
//! in user mode again, handles a signal or stops for a tracer (owed.c).

pub(crate) mod pass;
pub(crate) mod regrow;
