// SPDX-License-Identifier: GPL-2.0
//! A virtual CPU: whether its buffer gets space for more components, and where its IA32_XFD must be
//! written.
//!
//! A hypervisor enables components when it shows them to the guest (`KVM_SET_CPUID2`). From then on
//! there is space for them, so nothing that the guest later does with them needs a decision.

use super::facility;
use super::permission;
use super::xfeature::Xfeatures;

/// The outcome of a hypervisor's attempt to enable components for a virtual CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enabling {
    /// Nothing to do: they are already enabled, or are not dynamic.
    Kept,
    /// The buffer must first get space for these. Then they are enabled.
    Enlarge(Xfeatures),
    /// The process has no guest permission for them: EPERM.
    Refused,
}

/// Whether `requested` may be enabled for a virtual CPU that already has `enabled`
/// (`fpu_guest.xfeatures`). `permitted` is the guest permission of the calling process.
///
/// ```
/// use xstate::guest::{enable, Enabling};
/// use xstate::xfeature::Xfeatures;
///
/// let (tiles, others) = (Xfeatures::USER_DYNAMIC, Xfeatures::from_bits(0x202e7));
/// assert_eq!(enable(others | tiles, others, others | tiles), Enabling::Enlarge(tiles));
/// assert_eq!(enable(others | tiles, others, others), Enabling::Refused);
/// assert_eq!(enable(others | tiles, others | tiles, others), Enabling::Kept);
/// ```
pub fn enable(requested: Xfeatures, enabled: Xfeatures, permitted: Xfeatures) -> Enabling {
    let new = requested & facility::DYNAMIC & !enabled;
    if new.is_empty() {
        Enabling::Kept
    } else if permission::allows(permitted, new) {
        Enabling::Enlarge(new)
    } else {
        Enabling::Refused
    }
}

/// Where a virtual CPU's new IA32_XFD takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XfdUpdate {
    /// The vCPU's registers are in this CPU. Write the fpstate, and the MSR with its per-CPU copy.
    /// The next save then leaves out what is disabled.
    InRegisters,
    /// They are in memory. Write the fpstate, and clear these components in XSTATE_BV of the saved
    /// image. Restoring them while IA32_XFD is set for them would raise #NM in the host.
    InMemory {
        /// The disabled components.
        drop: Xfeatures,
    },
}

/// Where `xfd`, the new value for a virtual CPU, takes effect. `runs` says whether current runs the
/// vCPU (`fpstate.in_use`), and `loaded` whether current's registers are in this CPU.
///
/// If the vCPU's registers are not in this CPU, IA32_XFD is written when they are loaded.
///
/// ```
/// use xstate::guest::{update_xfd, XfdUpdate};
/// use xstate::xfeature::Xfeatures;
///
/// let tiles = Xfeatures::USER_DYNAMIC;
/// assert_eq!(update_xfd(tiles, true, true), XfdUpdate::InRegisters);
/// assert_eq!(update_xfd(tiles, true, false), XfdUpdate::InMemory { drop: tiles });
/// ```
pub fn update_xfd(xfd: Xfeatures, runs: bool, loaded: bool) -> XfdUpdate {
    if runs && loaded {
        XfdUpdate::InRegisters
    } else {
        XfdUpdate::InMemory { drop: xfd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
    const BOTH: Xfeatures = Xfeatures::from_bits(3 << 17);
    const SMALL: Xfeatures = Xfeatures::from_bits(0x202e7);

    #[test]
    fn enabling_needs_the_permission() {
        let locked = permission::GUEST_LOCKED | SMALL;
        assert_eq!(enable(SMALL, SMALL, locked), Enabling::Kept);
        assert_eq!(enable(BOTH, SMALL, locked), Enabling::Refused);
        assert_eq!(
            enable(BOTH, SMALL, locked | TILES),
            Enabling::Enlarge(TILES)
        );
    }

    #[test]
    fn what_is_enabled_is_not_asked_for_again() {
        assert_eq!(enable(BOTH, SMALL | TILES, SMALL), Enabling::Kept);
    }

    #[test]
    fn what_is_not_dynamic_needs_no_permission() {
        let no_facility = !TILES;
        let none = Xfeatures::NONE;
        assert_eq!(enable(no_facility, none, none), Enabling::Kept);
    }

    #[test]
    fn only_loaded_registers_of_the_virtual_cpu_take_the_value() {
        assert_eq!(update_xfd(TILES, true, true), XfdUpdate::InRegisters);
        for (runs, loaded) in [(true, false), (false, true), (false, false)] {
            let update = update_xfd(TILES, runs, loaded);
            assert_eq!(update, XfdUpdate::InMemory { drop: TILES });
        }
    }

    /// A virtual CPU and the thread that runs it.
    #[derive(Clone, Copy, Debug)]
    struct Vcpu {
        xfd: Xfeatures,
        /// XSTATE_BV of the saved image.
        image: Xfeatures,
        /// The components in use, if the registers are in the CPU.
        registers: Xfeatures,
        msr: Xfeatures,
        runs: bool,
        loaded: bool,
    }

    impl Vcpu {
        /// XRSTORS, for current or for the vCPU that it runs.
        fn load(&mut self) {
            if !self.loaded && self.runs {
                self.msr = self.xfd;
                assert!((self.image & self.msr).is_empty(), "#NM in the host");
                self.registers = self.image;
            }
            self.loaded = true;
        }

        /// XSAVES: a disabled component counts as being in its initial state.
        fn save(&mut self) {
            if self.loaded && self.runs {
                assert_eq!(self.msr, self.xfd, "saved with another value");
                self.image = self.registers & !self.msr;
            }
            self.loaded = false;
        }

        /// Switches to the vCPU, or back to the thread itself.
        fn swap(&mut self) {
            self.save();
            self.runs = !self.runs;
            self.load();
        }

        fn write_xfd(&mut self, xfd: Xfeatures) {
            match update_xfd(xfd, self.runs, self.loaded) {
                XfdUpdate::InRegisters => self.msr = xfd,
                XfdUpdate::InMemory { drop } => self.image = self.image & !drop,
            }
            self.xfd = xfd;
        }
    }

    proptest! {
        /// No matter when the value is written, a disabled component is never restored, and a save
        /// never happens with a value other than the vCPU's.
        #[test]
        fn disabled_components_are_never_restored(steps in proptest::collection::vec(0u8..6, 0..40)) {
            let mut vcpu = Vcpu {
                xfd: Xfeatures::NONE,
                image: Xfeatures::NONE,
                registers: Xfeatures::NONE,
                msr: Xfeatures::NONE,
                runs: false,
                loaded: true,
            };
            for step in steps {
                match step {
                    0 => vcpu.swap(),
                    1 => vcpu.save(),
                    2 => vcpu.load(),
                    3 => vcpu.write_xfd(TILES),
                    4 => vcpu.write_xfd(Xfeatures::NONE),
                    // The guest uses its tiles.
                    _ if vcpu.runs && vcpu.loaded => {
                        vcpu.registers = vcpu.registers | TILES & !vcpu.msr;
                    }
                    // KVM_SET_XSAVE: what is disabled is left out.
                    _ if !vcpu.runs => vcpu.image = TILES & !vcpu.xfd,
                    _ => (),
                }
            }
        }
    }
}
