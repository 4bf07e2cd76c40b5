// SPDX-License-Identifier: GPL-2.0
//! The trace event xfd:xfd_first_use, which records what the five steps did.

use crate::bindings::{self, xfd_first_use};
use crate::cpu::tsc;
use crate::xstate::verdict::Verdict;

/// The state of a task and its CPU before or after the five steps.
pub(crate) struct State {
    /// IA32_XFD_ERR.
    pub(crate) xfd_err: u64,
    /// IA32_XFD.
    pub(crate) xfd: u64,
    /// Size in bytes of the register image.
    pub(crate) size: u32,
    /// The permitted components.
    pub(crate) permitted: u64,
}

/// An event that is being recorded. It exists only if the event is enabled; otherwise a first use
/// incurs no cost.
pub(crate) struct Report(xfd_first_use);

impl Report {
    /// Records the state before the first step, if the event is enabled.
    pub(crate) fn begin(xfd_err: u64, state: impl FnOnce() -> State) -> Option<Self> {
        // SAFETY: this only reads a static key.
        if !unsafe { bindings::xfd_trace_wanted() } {
            return None;
        }
        let before = state();
        Some(Self(xfd_first_use {
            xfd_err,
            xfd_before: before.xfd,
            size_before: before.size,
            tsc: tsc::now(),
            ..Default::default()
        }))
    }

    /// Records the state after the last step, and emits the event.
    pub(crate) fn end(&mut self, after: State, verdict: Verdict) {
        // The task may have moved to another CPU, whose TSC may be behind.
        self.0.tsc = tsc::now().saturating_sub(self.0.tsc);
        self.0.xfd_err_after = after.xfd_err;
        self.0.xfd_after = after.xfd;
        self.0.permitted = after.permitted;
        self.0.size_after = after.size;
        self.0.verdict = verdict as u32;
        // SAFETY: the event copies the struct before the call returns.
        unsafe { bindings::xfd_trace_first_use(&self.0) };
    }
}
