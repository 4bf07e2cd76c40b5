// SPDX-License-Identifier: GPL-2.0
//! The trace event xfd:xfd_first_use: what the five steps did.

use crate::bindings::{self, xfd_first_use};
use crate::cpu::tsc;
use crate::xstate::verdict::Verdict;

/// What can be seen of a task and its CPU before and after the five steps.
pub(crate) struct State {
    /// IA32_XFD_ERR.
    pub(crate) xfd_err: u64,
    /// IA32_XFD.
    pub(crate) xfd: u64,
    /// Bytes of the register image.
    pub(crate) size: u32,
    /// Permitted components.
    pub(crate) permitted: u64,
}

/// An event in the making; made only while somebody listens, so that others pay nothing.
pub(crate) struct Report(xfd_first_use);

impl Report {
    /// Notes the state before the first step, if the event is switched on.
    pub(crate) fn begin(xfd_err: u64, state: impl FnOnce() -> State) -> Option<Self> {
        // SAFETY: reads a static key.
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

    /// Notes the state after the last step, and emits the event.
    pub(crate) fn end(&mut self, after: State, verdict: Verdict) {
        // The task may be on another CPU now, the counter of which may be behind.
        self.0.tsc = tsc::now().saturating_sub(self.0.tsc);
        self.0.xfd_err_after = after.xfd_err;
        self.0.xfd_after = after.xfd;
        self.0.permitted = after.permitted;
        self.0.size_after = after.size;
        self.0.verdict = verdict as u32;
        // SAFETY: the event copies the struct.
        unsafe { bindings::xfd_trace_first_use(&self.0) };
    }
}
