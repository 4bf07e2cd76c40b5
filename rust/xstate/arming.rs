// SPDX-License-Identifier: GPL-2.0
//! What value IA32_XFD must hold on a CPU, and whether it has to be written.
//!
//! There are three copies of the value:
//!
//! | copy | meaning |
//! | --- | --- |
//! | the running task's fpstate | the value that this task must run with |
//! | the kernel's per-CPU `xfd_state` | the value last written to this CPU's MSR |
//! | IA32_XFD | the value that the CPU acts on |
//!
//! # Invariants
//!
//! The three copies agree whenever preemption is possible. Writing the MSR is expensive (in a guest
//! it may cause a VM exit), so it is written only if the copies differ.

use super::xfeature::Xfeatures;

/// The value to write to IA32_XFD and to its per-CPU copy before the CPU may run a task that needs
/// `wanted`, or `None` if the per-CPU copy, `on_this_cpu`, already has that value.
///
/// This is the comparison in `xfd_update_state()`, arch/x86/kernel/fpu/xstate.h:189.
///
/// ```
/// use xstate::arming::write_needed;
/// use xstate::xfeature::Xfeatures;
///
/// let (armed, none) = (Xfeatures::USER_DYNAMIC, Xfeatures::NONE);
/// assert_eq!(write_needed(armed, none), Some(none));
/// assert_eq!(write_needed(armed, armed), None);
/// ```
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
