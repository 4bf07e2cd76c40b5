// SPDX-License-Identifier: GPL-2.0
//! Virtual CPUs that were promised components and have no room for them yet.
//!
//! The kernel's own code knows no such thing: each of them keeps this module in the machine
//! until it has got its room or is gone.

use crate::seam::bindings;
use kernel::fmt;
use kernel::sync::atomic::{Atomic, Full, Relaxed};

/// Whether new ones may be made.
static STATE: Atomic<i32> = Atomic::new(HELD_BACK);
const HELD_BACK: i32 = 0;
const ALLOWED: i32 = 1;
const OVER: i32 = 2;

/// How many there are.
static OUTSTANDING: Atomic<i64> = Atomic::new(0);

/// From now on promises may be made, or may not; not after [`end`].
pub(crate) fn allow(allowed: bool) {
    let (from, to) = if allowed {
        (HELD_BACK, ALLOWED)
    } else {
        (ALLOWED, HELD_BACK)
    };
    // It is as it should be already, or over.
    let _ = STATE.cmpxchg(from, to, Full);
}

/// No more promises are made. How many are outstanding.
pub(crate) fn end() -> i64 {
    // Ordered against the count: `make` looks the other way round.
    STATE.xchg(OVER, Full);
    outstanding()
}

/// Counts one more; false if none may be made. Task context; does not sleep.
#[must_use]
pub(crate) fn make() -> bool {
    // SAFETY: the module is there, or on its way out, as long as its code runs.
    if !unsafe { bindings::xfd_get_module() } {
        return false;
    }
    // Ordered against the state, as in `end`.
    OUTSTANDING.fetch_add(1, Full);
    if STATE.load(Relaxed) == ALLOWED {
        return true;
    }
    settle();
    false
}

/// One of them has got its room, or is gone. Task context; does not sleep.
pub(crate) fn settle() {
    OUTSTANDING.fetch_add(-1, Full);
    // SAFETY: `make` got it. The caller is counted as in flight, or in a function that unloading
    // detaches first, and waits for.
    unsafe { bindings::xfd_put_module() }
}

/// How many there are.
fn outstanding() -> i64 {
    OUTSTANDING.load(Relaxed)
}

/// Their number as a debugfs file shows it.
pub(crate) struct Outstanding;

impl fmt::Debug for Outstanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", outstanding())
    }
}
