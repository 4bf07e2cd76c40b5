// SPDX-License-Identifier: GPL-2.0
//! Crate root for cargo. It includes the same `mod.rs` that kbuild compiles into the module.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[path = "mod.rs"]
mod xstate;
pub use xstate::*;
