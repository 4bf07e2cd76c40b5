// SPDX-License-Identifier: GPL-2.0
//! Injects failures and delays for the tests (CONFIG_XFD_FAULTS). The default build uses
//! [`faults_off.rs`] instead.
//!
//! These are module parameters. `fail_allocations` is the number of buffer allocations that
//! will fail from now on. `hold` is the number of the [`Point`] at which tasks wait; 0 lets them
//! continue. `held` is the number of waiting tasks. At load time, `fail_step` is the number of the
//! loading step that fails, `fail_detach` makes every detach fail, and `fred` makes the module look
//! for FRED's call of the handler as it would on a CPU with FRED.

use crate::bindings;
use crate::seam::refusal::Refusal;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full, Relaxed};

/// The points at which the #NM handler can be made to wait. Interrupts are on and no lock is held.
/// Point 5 is in owed.c.
#[derive(Clone, Copy)]
#[repr(i64)]
pub(crate) enum Point {
    /// XFD_ERR has been cleared.
    Cleared = 1,
    /// The process has been found to have permission.
    Permitted = 2,
    /// The larger buffer has been allocated but not installed.
    Allocated = 3,
    /// Everything is done except returning or raising the signal.
    Decided = 4,
}

/// The loading steps (xfd_main.rs) before anything is attached. Each can be made to fail before
/// it does anything. The steps that attach something come after these ([`attach_step`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Step {
    Supported = 1,
    Gates = 2,
    Kernel = 3,
    CallSite = 4,
    Pool = 5,
    Livepatch = 6,
}

/// The number of the first step that attaches something.
const FIRST_ATTACHED: i32 = 7;

/// Makes a counter in faults.c available as an [`Atomic`].
///
/// # Safety
///
/// `number` points to a static that is only ever modified atomically.
unsafe fn of_c(number: *mut bindings::atomic64_t) -> &'static Atomic<i64> {
    // SAFETY: the caller guarantees a static that is only accessed atomically. Both types are one
    // i64.
    unsafe { Atomic::from_ptr(number.cast()) }
}

fn fail_allocations() -> &'static Atomic<i64> {
    // SAFETY: this is a static in faults.c that is only ever modified atomically.
    unsafe { of_c(&raw mut bindings::xfd_fail_allocations) }
}

/// Waits if `point` is the point to wait at. Task context; may sleep, even with signals pending.
pub(crate) fn wait_at(point: Point) {
    // SAFETY: every caller is in task context and holds no lock.
    unsafe { bindings::xfd_wait_at(point as i64) }
}

/// Whether this allocation must fail. If so, one fewer has to fail afterwards.
pub(crate) fn allocation_fails() -> bool {
    let mut left = fail_allocations().load(Relaxed);
    while left > 0 {
        match fail_allocations().cmpxchg(left, left - 1, Full) {
            Ok(_) => return true,
            Err(now) => left = now,
        }
    }
    false
}

/// Fails if `step` is the step that is to fail.
pub(crate) fn load_step(step: Step) -> Result<(), Refusal> {
    let name = match step {
        Step::Supported => c"Supported",
        Step::Gates => c"Gates",
        Step::Kernel => c"Kernel",
        Step::CallSite => c"CallSite",
        Step::Pool => c"Pool",
        Step::Livepatch => c"Livepatch",
    };
    fail(step as i32, name)
}

/// Fails if attaching this part, an index into the list in xfd_main.rs, is the step that is to
/// fail.
pub(crate) fn attach_step(part: usize, name: &'static CStr) -> Result<(), Refusal> {
    fail(FIRST_ATTACHED + part as i32, name)
}

fn fail(step: i32, name: &'static CStr) -> Result<(), Refusal> {
    // SAFETY: it is written during module loading before this runs, and never afterwards.
    if unsafe { bindings::xfd_fail_step } == step {
        Err(Refusal::Injected(name))
    } else {
        Ok(())
    }
}

/// Whether to look for FRED's call site as on a CPU with FRED.
pub(crate) fn pretend_fred() -> bool {
    // SAFETY: it is written during module loading before this runs, and never afterwards.
    unsafe { bindings::xfd_pretend_fred }
}

/// Whether every detach must fail.
pub(crate) fn detach_fails() -> bool {
    // SAFETY: this is an aligned bool, so a concurrent write cannot tear it.
    unsafe { (&raw const bindings::xfd_fail_detach).read_volatile() }
}
