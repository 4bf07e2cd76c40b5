// SPDX-License-Identifier: GPL-2.0
//! Counts what AMX costs in the kernel: each row of `machine bench`.
//!
//! ```text
//! clock      what is counted: the emulator's counters, or cycles and nanoseconds
//! report     the lines that the runner reads
//! known      work to check the clock with
//! guests     virtual CPUs
//! first_use  the first tile instruction of a thread
//! calls      system calls and signals
//! tasks      threads, processes and programs that come and go
//! switch     context switches
//! kernel_tiles  FPU sections of kernel code
//! memory     what the kernel keeps for threads that used tiles once
//! module     loading and unloading
//! ```

pub mod calls;
pub mod clock;
pub mod first_use;
pub mod guests;
pub mod kernel_tiles;
pub mod known;
pub mod memory;
pub mod module;
pub mod report;
pub mod switch;
pub mod tasks;
