// SPDX-License-Identifier: GPL-2.0
//! What all processes of a run share: the counts, and the order to stop.
#![expect(unsafe_code, reason = "the marker of shared memory is an unsafe trait")]

use super::plan::{Ending, Operation};
use crate::shared_memory::{self, Shareable};
use std::io::Result;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The maximum number of concurrent processes.
pub const MAX_PROCESSES: usize = 256;

/// One run's counts. All zero at the start.
#[repr(C)]
pub struct Shared {
    /// The run's seed.
    pub seed: AtomicU64,
    /// Threads per process.
    pub threads: AtomicU32,
    /// Concurrent processes.
    pub processes: AtomicU32,
    /// Whether CPUs come and go.
    pub hotplug: AtomicU32,
    /// Operations after which the run ends; 0 for no limit.
    pub limit: AtomicU64,
    /// A currently active thread of each process, for the tracer.
    pub tids: [AtomicI32; MAX_PROCESSES],
    /// First uses seen to succeed.
    pub first_uses: AtomicU64,
    /// Uses without permission seen to die of SIGILL.
    pub denied: AtomicU64,
    /// Stops by the tracer.
    pub traces: AtomicU64,
    /// CPUs taken offline and online again.
    pub hotplugs: AtomicU64,
    operations: [AtomicU64; Operation::COUNT],
    endings: [AtomicU64; Ending::COUNT],
    stop: AtomicU32,
    failures: AtomicU32,
}

// SAFETY: it consists of atomics, for which any value is valid.
unsafe impl Shareable for Shared {}

impl Shared {
    /// Creates the counts, and the file descriptor through which [`Shared::attach`] finds them.
    ///
    /// # Errors
    ///
    /// ENOMEM, ENOSYS.
    pub fn create() -> Result<(&'static Self, i32)> {
        shared_memory::create()
    }

    /// The counts for the run that this process belongs to.
    ///
    /// # Errors
    ///
    /// There are no counts behind this descriptor.
    pub fn attach(fd: i32) -> Result<&'static Self> {
        shared_memory::attach(fd)
    }

    /// Counts one operation, which may end the run.
    pub fn count(&self, operation: Operation) {
        self.operations[operation as usize].fetch_add(1, Relaxed);
    }

    /// How often this operation was done.
    pub fn done(&self, operation: Operation) -> u64 {
        self.operations[operation as usize].load(Relaxed)
    }

    /// Counts the end of a process, or of its program.
    pub fn count_ending(&self, ending: Ending) {
        self.endings[ending as usize].fetch_add(1, Relaxed);
    }

    /// How many ended in this way.
    pub fn ended(&self, ending: Ending) -> u64 {
        self.endings[ending as usize].load(Relaxed)
    }

    /// Operations so far.
    pub fn total(&self) -> u64 {
        self.operations.iter().map(|n| n.load(Relaxed)).sum()
    }

    /// Whether the run is over.
    pub fn over(&self) -> bool {
        let limit = self.limit.load(Relaxed);
        if limit != 0 && self.total() >= limit {
            self.stop();
        }
        self.stop.load(Relaxed) != 0
    }

    /// Ends the run; each thread checks before its next operation.
    pub fn stop(&self) {
        self.stop.store(1, Relaxed);
    }

    /// Counts a failure and ends the run.
    pub fn fail(&self) {
        self.failures.fetch_add(1, Relaxed);
        self.stop();
    }

    /// Failures so far.
    pub fn failures(&self) -> u32 {
        self.failures.load(Relaxed)
    }
}
