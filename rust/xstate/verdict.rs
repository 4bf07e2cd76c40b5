// SPDX-License-Identifier: GPL-2.0
//! What the task gets: the end of each way through the #NM handler.

/// How a first use ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Verdict {
    /// The instruction is run again, and now it works.
    Resume = 0,
    /// The process has no permission: SIGILL, si_code ILL_ILLOPC, si_addr the instruction.
    Sigill = 1,
    /// No memory for the buffer: SIGSEGV, si_code SI_KERNEL, si_addr 0.
    Sigsegv = 2,
}
