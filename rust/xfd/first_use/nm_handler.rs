// SPDX-License-Identifier: GPL-2.0
//! Handles an #NM from user mode with XFD_ERR set, in five steps.
//!
//! ```text
//! XFD_ERR -> cleared -> permission (SIGILL) -> buffer (SIGSEGV) -> disarmed -> resumed
//! ```

use crate::bindings;
use crate::buffer::area::AllocMode;
use crate::buffer::fpstate::{self, FpstateBuffer};
use crate::cpu::msr;
use crate::fault::{self, Point};
use crate::permission::group_perm;
use crate::seam::calls;
use crate::seam::counted;
use crate::seam::kernel::kernel;
use crate::seam::locks::with_interrupts;
use crate::watch::stats::STATS;
use crate::watch::trace::{Report, State};
use crate::xstate::{
    buffer::{self, Need},
    facility,
    nm_event::NmEvent,
    permission::{self, PermissionKind},
    verdict::Verdict,
    xfeature::Xfeatures,
};
use kernel::bindings::pt_regs;
use kernel::prelude::*;

/// Handles an #NM that reports `xfd_err`, which is not zero. Interrupts are off on entry and on
/// return. In between they are on, and the handler may sleep. The caller has called
/// irqentry_enter() and counted current as inside the module. On return, current is no longer
/// counted.
#[no_mangle]
extern "C" fn xfd_handle_nm(regs: *mut pt_regs, xfd_err: u64) {
    let mut report = Report::begin(xfd_err, state);
    msr::clear_xfd_err();

    with_interrupts(|| {
        fault::wait_at(Point::Cleared);
        let verdict = match NmEvent::from_xfd_err(xfd_err, facility::LINUX) {
            NmEvent::FirstUse(used) => first_use(used),
            NmEvent::Unknown(raised) => {
                kernel::pr_err_once!("invalid XFD_ERR {:#x}\n", raised.bits());
                Verdict::Resume
            }
            // entry.c passes these to the kernel's own handler.
            NmEvent::Ordinary => Verdict::Resume,
        };
        fault::wait_at(Point::Decided);
        deliver(verdict, regs);
        if let Some(report) = &mut report {
            report.end(state(), verdict);
        }
        counted::leave();
    });
}

/// Gives current a buffer for the components `used` and disarms them, or says why not. Task
/// context, interrupts on; may sleep for memory.
fn first_use(used: Xfeatures) -> Verdict {
    // Reading this needs no lock: permissions only grow, and the sizes follow from them.
    let permitted = group_perm::xfeatures(PermissionKind::Host);
    if !permission::allows(permitted, used) {
        STATS.denied.count();
        return Verdict::Sigill;
    }
    fault::wait_at(Point::Permitted);
    let masks = fpstate::current_masks();
    let capacity = match buffer::need(masks, used, permitted, &kernel().capacities) {
        Need::StaleXfd => {
            STATS.repeated.count();
            fpstate::resync_xfd();
            return Verdict::Resume;
        }
        Need::Enlarge(capacity) => capacity,
    };
    let Ok(buffer) = FpstateBuffer::obtain(capacity, AllocMode::MayFail) else {
        STATS.failed_allocations.count();
        return Verdict::Sigsegv;
    };
    fault::wait_at(Point::Allocated);
    let recycled = buffer.is_recycled();
    if buffer.install(used).is_none() {
        return Verdict::Sigsegv;
    }
    STATS.first_uses.count();
    if recycled {
        STATS.recycled.count();
    }
    Verdict::Resume
}

/// Raises the signal for `verdict` in current, if any. Task context, interrupts on.
fn deliver(verdict: Verdict, regs: *mut pt_regs) {
    if verdict == Verdict::Resume {
        return;
    }
    // SAFETY: current took the #NM, so its trap number and error code may be set here.
    unsafe { bindings::xfd_note_nm() };
    match verdict {
        Verdict::Resume => (),
        // SAFETY: `regs` comes from the #NM entry and belongs to current.
        Verdict::Sigill => unsafe {
            calls::force_sig_fault(
                kernel::bindings::SIGILL as c_int,
                bindings::ILL_ILLOPC as c_int,
                calls::trap_address(regs.cast()),
            )
        },
        // SAFETY: this is task context, where a signal may be raised in current.
        Verdict::Sigsegv => unsafe {
            kernel::bindings::force_sig(kernel::bindings::SIGSEGV as c_int)
        },
    }
}

/// The part of current's state that the trace event shows. The MSRs are read from the CPU.
fn state() -> State {
    State {
        xfd_err: msr::xfd_err(),
        xfd: msr::xfd(),
        size: fpstate::current_size(),
        permitted: group_perm::xfeatures(PermissionKind::Host).bits(),
    }
}
