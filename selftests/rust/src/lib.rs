// SPDX-License-Identifier: GPL-2.0
//! What the test programs share: tiles, products, placing threads, counting first uses.

pub mod altstack;
pub mod bench;
pub mod bpf;
pub mod child;
pub mod core_file;
pub mod counters;
pub mod cpus;
pub mod dumped;
pub mod event;
pub mod fuzz;
pub mod kernel_text;
pub mod ktap;
pub mod kvm;
pub mod machine;
pub mod matrix;
pub mod probe;
pub mod slow_calls;
pub mod slow_memory;
pub mod spinner;
pub mod stress;
pub mod sys;
pub mod tile;
pub mod tracefs;
pub mod witness;
pub mod worker;
