// SPDX-License-Identifier: GPL-2.0
//! What is counted: in the emulated machine the executing CPU's counters, elsewhere cycles and
//! nanoseconds.
#![expect(unsafe_code, reason = "CPUID and RDTSC")]
#![allow(unused_unsafe, reason = "newer compilers have a safe __cpuid_count()")]

use rustix::time::{clock_gettime, ClockId};
use std::arch::x86_64::{__cpuid_count, _mm_lfence, _rdtsc, CpuidResult};

/// The emulator's counter leaf: see Documentation/machine.rst.
const LEAF: u32 = 0x5846_4400;

/// What subleaf 0 returns in EBX, ECX and EDX.
const SIGNATURE: &[u8; 12] = b"Xfd counters";

/// The emulator's counters, in the order of their subleaves from 1.
const EMULATED: &[&str] = &[
    "instructions",
    "interrupts",
    "nm",
    "rdmsr_xfd",
    "wrmsr_xfd",
    "rdmsr_xfd_err",
    "wrmsr_xfd_err",
    "bytes_stored",
    "bytes_copied",
    "bytes_saved",
    "bytes_restored",
];

/// What real processors offer.
const REAL: &[&str] = &["cycles", "nanoseconds"];

/// The largest number of units.
const MOST: usize = EMULATED.len();

/// One value per clock unit; the rest are 0.
pub type Values = [u64; MOST];

/// A way to count, and the overhead of counting.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    emulated: bool,
    own: Values,
}

/// The start of a span.
#[derive(Clone, Copy, Debug)]
pub struct Mark(Values);

impl Clock {
    /// The best clock on this machine.
    #[must_use]
    pub fn best() -> Self {
        let mut clock = Clock {
            emulated: is_emulated(),
            own: [0; MOST],
        };
        // The minimum of several, since an interrupt may arrive.
        let mut own = [u64::MAX; MOST];
        for _ in 0..32 {
            let mark = clock.mark();
            let values = clock.since(&mark);
            for (least, value) in own.iter_mut().zip(values) {
                *least = value.min(*least);
            }
        }
        clock.own = own;
        clock
    }

    /// The units; the first one matters most.
    #[must_use]
    pub fn units(&self) -> &'static [&'static str] {
        if self.emulated {
            EMULATED
        } else {
            REAL
        }
    }

    /// Whether these are the emulator's counters.
    #[must_use]
    pub fn is_emulated(&self) -> bool {
        self.emulated
    }

    /// Whether an interrupt arrived in a span, as far as is known.
    #[must_use]
    pub fn disturbed(&self, values: &Values) -> bool {
        self.emulated && values[1] != 0
    }

    /// Starts a span, which must end on the same CPU.
    #[inline(never)]
    #[must_use]
    pub fn mark(&self) -> Mark {
        let mut values = [0; MOST];
        if self.emulated {
            // Instructions are read last here, and first at the other end.
            for number in (0..MOST).rev() {
                values[number] = counter(number);
            }
        } else {
            values[1] = nanoseconds();
            values[0] = cycles();
        }
        Mark(values)
    }

    /// What has been counted since the mark.
    #[inline(never)]
    #[must_use]
    pub fn since(&self, mark: &Mark) -> Values {
        let mut values = [0; MOST];
        if self.emulated {
            for (number, value) in values.iter_mut().enumerate() {
                *value = counter(number);
            }
        } else {
            values[0] = cycles();
            values[1] = nanoseconds();
        }
        for ((value, from), own) in values.iter_mut().zip(mark.0).zip(self.own) {
            *value = value.wrapping_sub(from).saturating_sub(own);
        }
        values
    }
}

fn cpuid(subleaf: u32) -> CpuidResult {
    // SAFETY: every x86-64 processor has CPUID.
    unsafe { __cpuid_count(LEAF, subleaf) }
}

/// Whether all the counters exist. A processor answers an unknown leaf with something else.
fn is_emulated() -> bool {
    let answer = cpuid(0);
    let words = [answer.ebx, answer.ecx, answer.edx];
    let signature: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    signature == SIGNATURE && answer.eax as usize == MOST
}

#[inline(always)]
fn counter(number: usize) -> u64 {
    let answer = cpuid(number as u32 + 1);
    u64::from(answer.edx) << 32 | u64::from(answer.eax)
}

fn cycles() -> u64 {
    // SAFETY: every x86-64 processor has both.
    unsafe {
        _mm_lfence();
        let cycles = _rdtsc();
        _mm_lfence();
        cycles
    }
}

/// The time since an arbitrary point.
#[must_use]
pub fn nanoseconds() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_counts_what_is_in_it_and_not_itself() {
        let clock = Clock::best();
        let least = |work: &dyn Fn()| {
            let spans = (0..50).map(|_| {
                let mark = clock.mark();
                work();
                clock.since(&mark)[0]
            });
            spans.min().unwrap()
        };
        let nothing = least(&|| {});
        let something = least(&|| {
            for _ in 0..10_000 {
                std::hint::black_box(());
            }
        });
        assert!(nothing < 1000, "{nothing}");
        assert!(something > nothing + 1000, "{something}");
    }
}
