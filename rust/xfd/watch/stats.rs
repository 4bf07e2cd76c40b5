// SPDX-License-Identifier: GPL-2.0
//! Counters since load.

use super::files::{Named, Number};
use crate::bindings;
use kernel::sync::atomic::{Atomic, Relaxed};

/// An event counter.
pub(crate) struct Counter(Atomic<i64>);

impl Counter {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Counts one. Any context but NMI.
    pub(crate) fn count(&self) {
        self.0.add(1, Relaxed);
    }

    /// How often.
    pub(super) fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// What the handler counts itself; entry.c counts what passes it by.
pub(crate) struct Stats {
    /// First uses served: the task has its buffer and is disarmed.
    pub(crate) first_uses: Counter,
    /// Those of them whose buffer came from the pool.
    pub(crate) recycled: Counter,
    /// Enlarged buffers taken from tasks that slept and did not need them.
    pub(crate) reclaimed: Counter,
    /// Buffers that such tasks got back.
    pub(crate) regrown: Counter,
    /// Virtual CPUs' buffers that got room for a dynamic component.
    pub(crate) guests_grown: Counter,
    /// Uses without permission: SIGILL.
    pub(crate) denied: Counter,
    /// Uses for which there was no memory: SIGSEGV.
    pub(crate) failed_allocations: Counter,
    /// #NM of a task that had its buffer and was disarmed. Always 0, or there is a bug.
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

/// What the kernel's handler was left to do; entry.c counts it.
fn ordinary_nm() -> i64 {
    // SAFETY: a static of C's that only atomic operations change; one i64, as in Rust.
    let counter: &Atomic<i64> =
        unsafe { Atomic::from_ptr((&raw mut bindings::xfd_ordinary_nm).cast()) };
    counter.load(Relaxed)
}

/// All of them, by the names of their files.
pub(super) static COUNTERS: [Named; 9] = [
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
    (c"ordinary_nm", Number::Gauge(ordinary_nm)),
];
