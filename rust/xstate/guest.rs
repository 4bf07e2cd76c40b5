// SPDX-License-Identifier: GPL-2.0
//! A virtual CPU: whether its buffer gets room for more components, and where its IA32_XFD has to
//! be written.
//!
//! The hypervisor enables components when it shows them to the guest (`KVM_SET_CPUID2`). They have
//! their room from then on, so whatever the guest does with them later needs no decision.

use super::facility;
use super::permission;
use super::xfeature::Xfeatures;

/// What the hypervisor gets when it wants to enable components for a virtual CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enabling {
    /// They are enabled, or need not be.
    Kept,
    /// These must get room; then they are enabled.
    Enlarge(Xfeatures),
    /// The process did not get the permission for its guests: EPERM.
    Refused,
}

/// Whether `requested` may be enabled for a virtual CPU for which `enabled` are already
/// (`fpu_guest.xfeatures`), by a process whose guests are `permitted` as much.
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
    /// Its registers are in this CPU: write the fpstate, and the MSR with its per-CPU copy. The
    /// save that comes leaves out what is disabled then.
    InRegisters,
    /// They are in memory: write the fpstate, and take these components out of XSTATE_BV of the
    /// saved image. Restored with IA32_XFD set, they would raise #NM in the host.
    InMemory {
        /// Disabled components.
        drop: Xfeatures,
    },
}

/// Where the hypervisor's new value `xfd` for a virtual CPU takes effect, when current `runs` it
/// (`fpstate.in_use`) or not, and current's registers are `loaded` in this CPU or not.
///
/// The value of IA32_XFD on a CPU without the virtual CPU's registers is written when they are
/// loaded.
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
        /// What of the registers is in use, if they are in the CPU.
        registers: Xfeatures,
        msr: Xfeatures,
        runs: bool,
        loaded: bool,
    }

    impl Vcpu {
        /// XRSTORS of whatever is current's.
        fn load(&mut self) {
            if !self.loaded && self.runs {
                self.msr = self.xfd;
                assert!((self.image & self.msr).is_empty(), "#NM in the host");
                self.registers = self.image;
            }
            self.loaded = true;
        }

        /// XSAVES: what is disabled is taken for initial.
        fn save(&mut self) {
            if self.loaded && self.runs {
                assert_eq!(self.msr, self.xfd, "saved with another value");
                self.image = self.registers & !self.msr;
            }
            self.loaded = false;
        }

        /// To the virtual CPU, or back to the thread itself.
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
        /// Whenever the value is written: what is disabled is never restored, and a save never
        /// meets another value than the virtual CPU's.
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
                    // KVM_SET_XSAVE: what is disabled is taken out.
                    _ if !vcpu.runs => vcpu.image = TILES & !vcpu.xfd,
                    _ => (),
                }
            }
        }
    }
}
