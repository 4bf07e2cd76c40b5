// SPDX-License-Identifier: GPL-2.0
//! Failing and waiting on request, for the tests (CONFIG_XFD_FAULTS; [`faults_off.rs`] is the
//! default build's).
//!
//! Parameters of the module: `fail_allocations`, how many of the coming allocations of a buffer fail;
//! `hold`, the number of the [`Point`] at which tasks wait, 0 lets them go on; `held`, how many wait. And at
//! insmod: `fail_step`, the number of the step of loading that fails, `fail_detach`, with which nothing can be
//! detached, and `fred`, with which its call is looked for as on a CPU with FRED.

use crate::bindings;
use crate::seam::refusal::Refusal;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full, Relaxed};

/// Where the handler of an #NM can be made to wait; interrupts are on, no lock is held. Point 5 is in owed.c.
#[derive(Clone, Copy)]
#[repr(i64)]
pub(crate) enum Point {
    /// XFD_ERR is zero again.
    Cleared = 1,
    /// The process has the permission.
    Permitted = 2,
    /// There is a larger buffer, and it is not the task's yet.
    Allocated = 3,
    /// Everything is done but returning, or raising the signal.
    Decided = 4,
}

/// The steps of loading (xfd_main.rs) before anything is attached, each of which can be made to fail
/// before it does anything. Those that attach follow ([`attach_step`]).
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

/// A static of faults.c.
///
/// # Safety
///
/// `number` points to a static of C's that only atomic operations change.
unsafe fn of_c(number: *mut bindings::atomic64_t) -> &'static Atomic<i64> {
    // SAFETY: the caller vouches for it; one i64, as in Rust.
    unsafe { Atomic::from_ptr(number.cast()) }
}

fn fail_allocations() -> &'static Atomic<i64> {
    // SAFETY: a static of faults.c that only atomic operations change.
    unsafe { of_c(&raw mut bindings::xfd_fail_allocations) }
}

/// Waits if `point` is the one to wait at. Sleeps, whatever signals are pending.
pub(crate) fn wait_at(point: Point) {
    // SAFETY: task context, no lock held.
    unsafe { bindings::xfd_wait_at(point as i64) }
}

/// Whether this allocation is one of those that are to fail; counts it.
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

/// Fails if `step` is the one to fail.
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

/// Fails if attaching the part with this number in the list of xfd_main.rs is the step to fail.
pub(crate) fn attach_step(part: usize, name: &'static CStr) -> Result<(), Refusal> {
    fail(FIRST_ATTACHED + part as i32, name)
}

fn fail(step: i32, name: &'static CStr) -> Result<(), Refusal> {
    // SAFETY: written by the kernel before the module's initialisation, and by nobody after it.
    if unsafe { bindings::xfd_fail_step } == step {
        Err(Refusal::Injected(name))
    } else {
        Ok(())
    }
}

/// Whether FRED's call is looked for as on a CPU with FRED.
pub(crate) fn pretend_fred() -> bool {
    // SAFETY: written by the kernel before the module's initialisation, and by nobody after it.
    unsafe { bindings::xfd_pretend_fred }
}

/// Whether nothing is to be detached.
pub(crate) fn detach_fails() -> bool {
    // SAFETY: an aligned bool, read in one piece, whatever its writer does meanwhile.
    unsafe { (&raw const bindings::xfd_fail_detach).read_volatile() }
}
