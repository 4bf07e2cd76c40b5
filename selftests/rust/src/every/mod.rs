// SPDX-License-Identifier: GPL-2.0
//! A path through the kernel, disturbed at each of its instructions.

pub mod disturbance;
pub mod guest_path;
pub mod path;
pub mod table;
pub mod trial;
pub mod trigger;
