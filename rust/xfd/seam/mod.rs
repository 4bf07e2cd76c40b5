// SPDX-License-Identifier: GPL-2.0
//! Reaching in: the only place that knows names the kernel does not export.
//!
//! [`symbols`] finds what is needed, [`kernel`] reads the kernel's configuration of extended state.
//! Three ways in: [`call_site`] exchanges the call of the #NM handler, [`direct`] is called by ftrace
//! at the beginning of a function, [`livepatch`] replaces functions. [`lifecycle`] attaches and
//! detaches all of them in one order, and knows when nobody is inside any more. [`locks`] are the
//! kernel's own around extended state.

pub(crate) mod call_site;
pub(crate) mod direct;
pub(crate) mod kernel;
pub(crate) mod lifecycle;
pub(crate) mod livepatch;
pub(crate) mod locks;
pub(crate) mod refusal;
pub(crate) mod symbols;
