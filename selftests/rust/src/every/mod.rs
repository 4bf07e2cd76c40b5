// SPDX-License-Identifier: GPL-2.0
//! A path through the kernel, disturbed at each of its instructions.

pub mod choice;
pub mod disturbance;
mod intruder;
mod kind;
pub mod path;
mod settings;
mod shared;
mod sum;
pub mod table;
mod taker;
mod trial;
mod tries;
pub mod trigger;
mod workers;
