// SPDX-License-Identifier: GPL-2.0
//! Decides what to do about extended state. Nothing here carries out a decision.
//!
//! The modules are listed in the order in which a first use needs them: what the CPU reported
//! ([`nm_event`]), whether it belongs to a [`facility`] that must be requested, what the process is
//! allowed to use ([`permission`]), how large a buffer must be ([`layout`], [`capacity`]), what
//! changes in the task's [`buffer`], what the CPU must hold afterwards ([`arming`]), and how it
//! ends for the task ([`verdict`]). The rest are not part of a first use: [`idle`] says whether a
//! task still needs its buffer, [`guest`] covers the differences for a virtual CPU, and
//! [`near_call`] finds the kernel instruction that calls the #NM handler.
//!
//! There is no `unsafe`, no allocation and no kernel type here. kbuild compiles this into the
//! module, and cargo compiles the same files into the host tests. All functions are pure: they take
//! no lock, do not sleep and may be called in any context.
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
