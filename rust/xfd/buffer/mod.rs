// SPDX-License-Identifier: GPL-2.0
//! A task's register buffer, from its allocation to its end.
//!
//! [`area`] is the memory, [`pool`] keeps areas without a task, [`fpstate`] makes one a buffer that
//! knows its room. [`registers`] says whose registers this CPU has, and is the only writer of
//! IA32_XFD. [`enlarged`] takes a buffer off a task, [`exec`] and [`exit`] do so when it ends;
//! [`resume`] brings XFD into step after a suspend.

pub(crate) mod area;
pub(crate) mod enlarged;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod fpstate;
pub(crate) mod pool;
pub(crate) mod registers;
pub(crate) mod resume;
