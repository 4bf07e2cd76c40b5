// SPDX-License-Identifier: GPL-2.0
//! The time-stamp counter, for the trace event.

/// TSC ticks: retired instructions in the emulated machine with one CPU. Not serialising.
pub(crate) fn now() -> u64 {
    // SAFETY: every 64-bit CPU has RDTSC, and CR4.TSD has no effect at CPL 0 (SDM vol. 2, RDTSC).
    unsafe { core::arch::x86_64::_rdtsc() }
}
