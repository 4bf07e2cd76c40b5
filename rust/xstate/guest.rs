// SPDX-License-Identifier: GPL-2.0
//! A virtual CPU's register buffer: when it has to grow, and what must hold until it has.
//!
//! The hypervisor promises components to a guest (CPUID) long before the guest uses them, if it
//! ever does. The buffer grows when the guest can first put something into them: when XCR0
//! enables a component and IA32_XFD does not disable it, or when a saved state brings it along.
//!
//! # Invariants
//!
//! - promised ⊆ permitted for the process's guests.
//! - XCR0 ∩ dynamic ∖ IA32_XFD ⊆ room: what the guest can change can be saved. An update that
//!   would break it is preceded by growth, or fails.
//! - Guests write IA32_XFD without a VM exit only if there is room for all that was promised
//!   ([`may_write_xfd_unseen`]): a write that nobody sees cannot be preceded by anything.

use super::buffer::Masks;
use super::permission;
use super::xfeature::{Xfeature, Xfeatures};

/// A virtual CPU's extended state, as the hypervisor and its buffer say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Guest {
    /// Components that the guest's CPUID may show: `fpu_guest.xfeatures`.
    pub promised: Xfeatures,
    /// Components with room in the buffer.
    pub room: Xfeatures,
    /// The guest's XCR0.
    pub xcr0: Xfeatures,
    /// The guest's IA32_XFD.
    pub xfd: Xfeatures,
}

/// What is about to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Update {
    /// XSETBV, or a restored XCR0.
    Xcr0(Xfeatures),
    /// WRMSR to IA32_XFD, or a restored one.
    Xfd(Xfeatures),
    /// A restored register image with this XSTATE_BV.
    Image(Xfeatures),
}

impl Guest {
    /// Promised components for which there is no room yet.
    pub fn owed(&self) -> Xfeatures {
        self.promised & Xfeatures::USER_DYNAMIC & !self.room
    }

    /// Components for which the buffer must get room before `update`. None for a value that the
    /// guest may not set: refusing that is the hypervisor's part, and nothing grows for it.
    pub fn lacking(&self, update: Update) -> Xfeatures {
        let can_change = match update {
            Update::Xcr0(xcr0) if !is_valid_xcr0(xcr0) => Xfeatures::NONE,
            Update::Xcr0(xcr0) => xcr0 & !self.xfd,
            Update::Xfd(xfd) if !self.promised.contains(xfd) => Xfeatures::NONE,
            Update::Xfd(xfd) => self.xcr0 & !xfd,
            // The hypervisor takes disabled components out.
            Update::Image(xstate_bv) => xstate_bv & !self.xfd,
        };
        can_change & self.owed()
    }
}

/// Tile configuration and tile data are enabled together (SDM vol. 1, 13.3).
fn is_valid_xcr0(xcr0: Xfeatures) -> bool {
    xcr0.contains(Xfeature::XTILE_CFG.mask()) == xcr0.contains(Xfeature::XTILE_DATA.mask())
}

/// What the hypervisor gets when it wants to promise components.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// They were promised before, or need no promise.
    Kept,
    /// They may be promised.
    New(Xfeatures),
    /// The process did not get the permission for its guests: EPERM.
    Refused,
}

/// Whether `requested` may be promised by a process whose guests are `permitted` as much, when
/// `promised` has been already.
pub fn promise(requested: Xfeatures, promised: Xfeatures, permitted: Xfeatures) -> Promise {
    let new = requested & Xfeatures::USER_DYNAMIC & !promised;
    if new.is_empty() {
        Promise::Kept
    } else if permission::allows(permitted, new) {
        Promise::New(new)
    } else {
        Promise::Refused
    }
}

/// The masks of the buffer that takes over from one that says `old`, with room for `more`. What
/// is armed is the guest's own affair.
pub fn grown(old: Masks, more: Xfeatures) -> Masks {
    Masks {
        xfeatures: old.xfeatures | more,
        user_xfeatures: old.user_xfeatures | more,
        xfd: old.xfd,
    }
}

/// Whether the guest may write IA32_XFD without a VM exit. While it may not, a VM exit leaves
/// the MSR as the hypervisor last wrote it, and nobody needs to read it.
pub fn may_write_xfd_unseen(room: Xfeatures) -> bool {
    room.contains(Xfeatures::USER_DYNAMIC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
    const BOTH: Xfeatures = Xfeatures::from_bits(3 << 17);
    const SMALL: Xfeatures = Xfeatures::from_bits(0x202e7);

    fn promised() -> Guest {
        Guest {
            promised: SMALL | TILES,
            room: SMALL,
            xcr0: Xfeatures::from_bits(1),
            xfd: Xfeatures::NONE,
        }
    }

    #[test]
    fn a_kernel_that_arms_before_it_enables_has_a_small_buffer_until_it_disarms() {
        let mut guest = promised();
        assert!(guest.lacking(Update::Xfd(TILES)).is_empty());
        guest.xfd = TILES;
        assert!(guest.lacking(Update::Xcr0(SMALL | TILES)).is_empty());
        guest.xcr0 = SMALL | TILES;
        assert_eq!(guest.lacking(Update::Xfd(Xfeatures::NONE)), TILES);
    }

    #[test]
    fn a_kernel_that_only_enables_has_its_room_at_once() {
        assert_eq!(promised().lacking(Update::Xcr0(SMALL | TILES)), TILES);
    }

    #[test]
    fn nothing_grows_for_what_is_refused() {
        let guest = promised();
        assert!(guest.lacking(Update::Xcr0(TILES)).is_empty());
        let enabled = Guest {
            xcr0: BOTH,
            xfd: TILES,
            ..guest
        };
        let no_component = Xfeatures::from_bits(1 << 40);
        assert!(enabled.lacking(Update::Xfd(no_component)).is_empty());
        let without = Guest {
            promised: SMALL,
            ..guest
        };
        assert!(without.lacking(Update::Xcr0(SMALL | TILES)).is_empty());
    }

    #[test]
    fn a_restored_image_needs_room_for_what_it_has() {
        let guest = promised();
        assert_eq!(guest.lacking(Update::Image(SMALL | TILES)), TILES);
        assert!(guest.lacking(Update::Image(SMALL)).is_empty());
        let armed = Guest {
            xfd: TILES,
            ..guest
        };
        assert!(armed.lacking(Update::Image(SMALL | TILES)).is_empty());
    }

    #[test]
    fn a_promise_needs_the_permission() {
        let locked = permission::GUEST_LOCKED | SMALL;
        assert_eq!(promise(SMALL, SMALL, locked), Promise::Kept);
        assert_eq!(promise(BOTH, SMALL, locked), Promise::Refused);
        assert_eq!(promise(BOTH, SMALL, locked | TILES), Promise::New(TILES));
        assert_eq!(promise(BOTH, SMALL | TILES, locked), Promise::Kept);
    }

    #[test]
    fn growing_leaves_the_guests_xfd_alone() {
        let old = Masks {
            xfeatures: SMALL,
            user_xfeatures: SMALL,
            xfd: TILES,
        };
        let new = grown(old, TILES);
        assert_eq!((new.xfeatures, new.xfd), (SMALL | TILES, TILES));
        assert!(!may_write_xfd_unseen(old.xfeatures));
        assert!(may_write_xfd_unseen(new.xfeatures));
    }

    /// What the hypervisor does with an update: see whether it is valid, make room, carry it out.
    fn carry_out(guest: &mut Guest, update: Update, memory: bool) {
        let lacking = guest.lacking(update);
        if !lacking.is_empty() && !memory {
            return;
        }
        guest.room = guest.room | lacking;
        match update {
            Update::Xcr0(xcr0) if is_valid_xcr0(xcr0) && guest.promised.contains(xcr0) => {
                guest.xcr0 = xcr0
            }
            Update::Xfd(xfd) if TILES.contains(xfd) => guest.xfd = xfd,
            _ => (),
        }
    }

    proptest! {
        /// Whatever is written in whatever order, with memory or without: what the guest can
        /// change can be saved.
        #[test]
        fn what_the_guest_can_change_can_be_saved(
            updates in proptest::collection::vec((0u8..3, any::<u64>(), any::<bool>()), 1..30)
        ) {
            let mut guest = promised();
            for (kind, bits, memory) in updates {
                let bits = Xfeatures::from_bits(bits & 0x602e7);
                let update = match kind {
                    0 => Update::Xcr0(bits),
                    1 => Update::Xfd(bits & TILES),
                    _ => Update::Image(bits),
                };
                carry_out(&mut guest, update, memory);
                let can_change = guest.xcr0 & TILES & !guest.xfd;
                prop_assert!(guest.room.contains(can_change), "{guest:?} after {update:?}");
            }
        }
    }
}
