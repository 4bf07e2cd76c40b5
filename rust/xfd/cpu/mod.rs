// SPDX-License-Identifier: GPL-2.0
//! The processor: the instructions that this module needs and Rust does not provide.

pub(crate) mod cpuid;
pub(crate) mod current;
pub(crate) mod msr;
pub(crate) mod percpu;
// For kernel_tiles.
#[cfg(MODULE)]
pub(crate) mod tile;
pub(crate) mod tsc;
