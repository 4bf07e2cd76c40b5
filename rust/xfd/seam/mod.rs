// SPDX-License-Identifier: GPL-2.0
//! The seam between the module and the kernel. Only code in this folder names symbols that the
//! kernel does not export.
//!
//! [`symbols`] looks symbols up, and [`kernel`] reads the kernel's configuration of extended state.
//! There are three ways into the module: [`call_site`] replaces the call of the #NM handler, ftrace
//! calls [`direct`] at the beginning of a function, and [`livepatch`] replaces functions.
//! [`lifecycle`] attaches and detaches them all in a fixed order, and knows when nobody is inside
//! the module any more. [`locks`] has guards for the kernel's locks around extended state.

pub(crate) mod call_site;
pub(crate) mod calls;
pub(crate) mod counted;
pub(crate) mod direct;
pub(crate) mod exit_probe;
pub(crate) mod holders;
pub(crate) mod kernel;
pub(crate) mod lifecycle;
pub(crate) mod livepatch;
pub(crate) mod locks;
pub(crate) mod refusal;
pub(crate) mod resume_callback;
pub(crate) mod symbols;
