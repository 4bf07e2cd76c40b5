// SPDX-License-Identifier: GPL-2.0
//! What the kernel answers to anything a program may say about extended state: permission calls,
//! signal frames, ptrace, clone. Nobody predicts most of the answers; they are the same on every
//! kernel that keeps the ABI, so those of two kernels are compared.
//!
//! A case (case) is one line of text (text); it runs in a process of its own (run), whose registers are
//! loaded and stored around one system call (state).

pub mod case;
mod frame;
pub mod generate;
pub mod run;
pub mod state;
pub mod text;
