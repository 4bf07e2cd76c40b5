// SPDX-License-Identifier: GPL-2.0
//! The trace event xfd:xfd_first_use: what the five steps did.

use crate::cpu::{msr, tsc};
use crate::buffer::fpstate;
use crate::permission::group_perm;
use crate::seam::bindings::{self, xfd_first_use};
use crate::xstate::{permission::Audience, verdict::Verdict};

/// An event in the making; made only while somebody listens, so that others pay nothing.
pub(crate) struct Report(xfd_first_use);

impl Report {
    /// Notes the state before the first step, if the event is switched on.
    pub(crate) fn begin(xfd_err: u64) -> Option<Self> {
        // SAFETY: reads a static key.
        if !unsafe { bindings::xfd_trace_wanted() } {
            return None;
        }
        Some(Self(xfd_first_use {
            xfd_err,
            xfd_before: msr::xfd(),
            size_before: fpstate::current_size(),
            tsc: tsc::now(),
            ..Default::default()
        }))
    }

    /// Notes the state after the last step, and emits the event. MSRs are read, not remembered.
    pub(crate) fn end(&mut self, verdict: Verdict) {
        self.0.tsc = tsc::now() - self.0.tsc;
        self.0.xfd_err_after = msr::xfd_err();
        self.0.xfd_after = msr::xfd();
        self.0.permitted = group_perm::xfeatures(Audience::Host).bits();
        self.0.size_after = fpstate::current_size();
        self.0.verdict = verdict as u32;
        // SAFETY: the event copies the struct.
        unsafe { bindings::xfd_trace_first_use(&self.0) };
    }
}
