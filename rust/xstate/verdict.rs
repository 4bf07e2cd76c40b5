// SPDX-License-Identifier: GPL-2.0
//! How an #NM ends for the task.

/// How a first use ends. The numbers are those in the trace event xfd:xfd_first_use.
///
/// ```
/// use xstate::verdict::Verdict;
///
/// assert_eq!(Verdict::Resume as u32, 0);
/// assert_eq!(Verdict::Sigill as u32, 1);
/// assert_eq!(Verdict::Sigsegv as u32, 2);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Verdict {
    /// The instruction is executed again and now succeeds.
    Resume = 0,
    /// The process has no permission: SIGILL, with si_code ILL_ILLOPC and si_addr pointing at the
    /// instruction.
    Sigill = 1,
    /// There is no memory for the buffer: SIGSEGV, with si_code SI_KERNEL and si_addr 0.
    Sigsegv = 2,
}
