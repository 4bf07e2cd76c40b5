// SPDX-License-Identifier: GPL-2.0
//! The value IA32_XFD must hold on a CPU, and whether it has to be written.
//!
//! | copy | holds |
//! | --- | --- |
//! | the running task's fpstate | the value this task must run with |
//! | the kernel's per-CPU `xfd_state` | what was last written to this CPU's MSR |
//! | IA32_XFD | what the CPU does |
//!
//! # Invariants
//!
//! The three agree whenever preemption is possible. Writing the MSR costs (in a guest it may be a
//! VM exit), so it is written only when the copies differ.

use super::xfeature::Xfeatures;

/// What to write to IA32_XFD, and to the per-CPU copy with it, so that the CPU runs the task
/// with `wanted`; `None` if `on_this_cpu` already says so.
pub fn write_needed(on_this_cpu: Xfeatures, wanted: Xfeatures) -> Option<Xfeatures> {
    (on_this_cpu != wanted).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_only_when_it_differs() {
        let armed = Xfeatures::USER_DYNAMIC;
        assert_eq!(write_needed(armed, Xfeatures::NONE), Some(Xfeatures::NONE));
        assert_eq!(write_needed(Xfeatures::NONE, armed), Some(armed));
        assert_eq!(write_needed(armed, armed), None);
    }
}
