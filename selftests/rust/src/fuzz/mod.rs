// SPDX-License-Identifier: GPL-2.0
//! How the kernel answers anything a program may do with extended state: permission calls, signal
//! frames, ptrace, clone. Most answers are not predicted, but they are the same on every kernel
//! that keeps the ABI, so two kernels' answers are compared.
//!
//! The options and components for the permission calls come from syzkaller's description (described). A case
//! (case) is one line of text (text). It runs in a separate process (run), whose registers are loaded and stored
//! around one system call (state).

pub mod case;
mod described;
mod frame;
pub mod generate;
pub mod run;
pub mod state;
pub mod text;
