// SPDX-License-Identifier: GPL-2.0
//! What to do about extended state: every decision of the subsystem, and nothing that carries one
//! out.
//!
//! The modules stand in the order of a first use: the CPU's report ([`nm_event`]), whether it is
//! of a [`facility`] that is given on request, the process's [`permission`], the sizes
//! ([`layout`], [`capacity`]), the task's [`buffer`], the value the CPU must hold afterwards ([`arming`]), what
//! the task gets ([`verdict`]). After it: whether the task needs its buffer yet ([`idle`]). Beside
//! it: what is different for a virtual CPU ([`guest`]). Before it: which instruction of the kernel's leads to its
//! handler ([`near_call`]).
//!
//! No `unsafe`, no allocation, no kernel type: compiled into the module by kbuild and into host
//! tests by cargo.
#![forbid(unsafe_code)]

pub mod arming;
pub mod buffer;
pub mod capacity;
pub mod facility;
pub mod guest;
pub mod idle;
pub mod layout;
pub mod near_call;
pub mod nm_event;
pub mod permission;
pub mod verdict;
pub mod xfeature;
