// SPDX-License-Identifier: GPL-2.0
//! The components that the machine is built from, each kept in the cache. In the order in which they are built:
//! `toolroot`, `kernel`, `emulator`, `module`, `programs`, `initramfs`, `image`; and `packages`, for other machines.
//! `project` prepares them.

pub mod agent;
pub mod emulator;
pub mod image;
pub mod initramfs;
pub mod kernel;
pub mod module;
pub mod packages;
pub mod programs;
pub mod project;
pub mod release;
pub mod toolroot;
