// SPDX-License-Identifier: GPL-2.0
//! Counters of events since the module was loaded.

use super::files::{Named, Number};
use kernel::sync::atomic::{Atomic, Relaxed};

/// An event counter.
pub(crate) struct Counter(Atomic<i64>);

impl Counter {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds one. Any context except NMI.
    pub(crate) fn count(&self) {
        self.0.add(1, Relaxed);
    }

    /// The number of events so far.
    pub(super) fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// The Rust code's counters. entry.c counts what it passes to the kernel's handler.
pub(crate) struct Stats {
    /// First uses served: the task got a buffer and was disarmed.
    pub(crate) first_uses: Counter,
    /// First uses whose buffer came from the pool.
    pub(crate) recycled: Counter,
    /// Enlarged buffers reclaimed from sleeping tasks that did not need them.
    pub(crate) reclaimed: Counter,
    /// Buffers that such tasks got back.
    pub(crate) regrown: Counter,
    /// Virtual CPUs' buffers enlarged for a dynamic component.
    pub(crate) guests_grown: Counter,
    /// Uses without permission: SIGILL.
    pub(crate) denied: Counter,
    /// Uses for which there was no memory: SIGSEGV.
    pub(crate) failed_allocations: Counter,
    /// #NMs of a task that already had its buffer and was disarmed. A nonzero value means a bug.
    pub(crate) repeated: Counter,
}

pub(crate) static STATS: Stats = Stats {
    first_uses: Counter::new(),
    recycled: Counter::new(),
    reclaimed: Counter::new(),
    regrown: Counter::new(),
    guests_grown: Counter::new(),
    denied: Counter::new(),
    failed_allocations: Counter::new(),
    repeated: Counter::new(),
};

/// The number of #NMs passed to the kernel's own handler, counted by entry.c.
#[cfg(MODULE)]
fn ordinary_nm() -> i64 {
    // SAFETY: this is a static in entry.c that is only ever modified atomically. Both types are one
    // i64.
    let counter: &Atomic<i64> =
        unsafe { Atomic::from_ptr((&raw mut crate::bindings::xfd_ordinary_nm).cast()) };
    counter.load(Relaxed)
}

/// A kernel into which this code is built counts no ordinary #NM: it goes nowhere near this code.
const LENGTH: usize = if cfg!(MODULE) { 9 } else { 8 };

/// All counters, by the names of their files.
pub(super) static COUNTERS: [Named; LENGTH] = [
    (c"first_uses", Number::Counter(&STATS.first_uses)),
    (c"recycled", Number::Counter(&STATS.recycled)),
    (c"reclaimed", Number::Counter(&STATS.reclaimed)),
    (c"regrown", Number::Counter(&STATS.regrown)),
    (c"guests_grown", Number::Counter(&STATS.guests_grown)),
    (c"denied", Number::Counter(&STATS.denied)),
    (
        c"failed_allocations",
        Number::Counter(&STATS.failed_allocations),
    ),
    (c"repeated", Number::Counter(&STATS.repeated)),
    #[cfg(MODULE)]
    (c"ordinary_nm", Number::Gauge(ordinary_nm)),
];
