// SPDX-License-Identifier: GPL-2.0
//! What the machine is made of, each kept in the cache: in the order of their making `toolroot`, `kernel`, `emulator`,
//! `module`, `programs`, `initramfs`, `image`; and `packages`, for other machines. `project` prepares them.

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
