// SPDX-License-Identifier: GPL-2.0
//! A task's register buffer, from its allocation to its end.

pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod fpstate;
pub(crate) mod pool;
pub(crate) mod resume;
