// SPDX-License-Identifier: GPL-2.0
//! Counters since load, one decimal number a file in /sys/kernel/debug/xfd/.

use crate::bindings;
use crate::fault;
use kernel::debugfs::{Dir, File};
use kernel::fmt;
use kernel::prelude::*;
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

/// The kernel's `atomic64_t`, which is one i64, as Rust's.
///
/// # Safety
///
/// `counter` points to a static of C's that only atomic operations change.
unsafe fn of_c(counter: *mut bindings::atomic64_t) -> &'static Atomic<i64> {
    // SAFETY: the caller vouches for it.
    unsafe { Atomic::from_ptr(counter.cast()) }
}

/// A counter as a debugfs file shows it.
struct Shown(&'static Atomic<i64>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.load(Relaxed))
    }
}

/// A number that somebody else keeps, as a debugfs file shows it.
#[derive(Clone, Copy)]
pub(crate) struct Gauge(pub(crate) fn() -> i64);

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.0)())
    }
}

/// What the folder shows beside the counters.
pub(crate) struct Gauges {
    /// Buffers in the pool now.
    pub(crate) pooled: Gauge,
    /// Tasks in this module's code now.
    pub(crate) in_flight: Gauge,
    /// Bytes of the pool's buffers that are not zero (CONFIG_XFD_FAULTS).
    pub(crate) dirty: fn() -> i64,
}

/// The debugfs folder; it goes when this is dropped.
#[pin_data]
pub(crate) struct Files {
    #[pin]
    first_uses: File<Shown>,
    #[pin]
    recycled: File<Shown>,
    #[pin]
    pooled: File<Gauge>,
    #[pin]
    reclaimed: File<Shown>,
    #[pin]
    regrown: File<Shown>,
    #[pin]
    guests_grown: File<Shown>,
    #[pin]
    denied: File<Shown>,
    #[pin]
    failed_allocations: File<Shown>,
    #[pin]
    repeated: File<Shown>,
    #[pin]
    ordinary_nm: File<Shown>,
    #[pin]
    in_flight: File<Gauge>,
    #[pin]
    faults: fault::Files,
    _dir: Dir,
}

impl Files {
    /// Makes the folder and its files. debugfs swallows its errors: without it there are no
    /// files, and the module works.
    pub(crate) fn new(gauges: Gauges) -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"xfd");
        // SAFETY: a static of entry.c, changed by atomic operations only.
        let ordinary_nm = unsafe { of_c(&raw mut bindings::xfd_ordinary_nm) };
        try_pin_init!(Self {
            first_uses <- dir.read_only_file(c"first_uses", Shown(&STATS.first_uses.0)),
            recycled <- dir.read_only_file(c"recycled", Shown(&STATS.recycled.0)),
            reclaimed <- dir.read_only_file(c"reclaimed", Shown(&STATS.reclaimed.0)),
            regrown <- dir.read_only_file(c"regrown", Shown(&STATS.regrown.0)),
            guests_grown <- dir.read_only_file(c"guests_grown", Shown(&STATS.guests_grown.0)),
            pooled <- dir.read_only_file(c"pooled", gauges.pooled),
            denied <- dir.read_only_file(c"denied", Shown(&STATS.denied.0)),
            failed_allocations <-
                dir.read_only_file(c"failed_allocations", Shown(&STATS.failed_allocations.0)),
            repeated <- dir.read_only_file(c"repeated", Shown(&STATS.repeated.0)),
            ordinary_nm <- dir.read_only_file(c"ordinary_nm", Shown(ordinary_nm)),
            in_flight <- dir.read_only_file(c"in_flight", gauges.in_flight),
            faults <- fault::Files::new(&dir, gauges.dirty),
            _dir: dir.clone(),
        })
    }
}
