// SPDX-License-Identifier: GPL-2.0
//! A task's register buffer, from allocation to release.
//!
//! [`area`] is its memory, [`pool`] keeps areas that belong to no task, and [`fpstate`] turns one
//! into a buffer that knows its capacity. [`registers`] knows whose registers are in this CPU, and
//! is the only writer of IA32_XFD. [`enlarged`] takes a buffer away from a task. [`exec`] and
//! [`exit`] do that when a program or a task ends. [`resume`] makes the kernel's copy of IA32_XFD
//! agree with the MSR after a suspend.

pub(crate) mod area;
pub(crate) mod enlarged;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod fpstate;
pub(crate) mod pool;
pub(crate) mod registers;
pub(crate) mod resume;
