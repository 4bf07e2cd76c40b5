// SPDX-License-Identifier: GPL-2.0
//! A register buffer (fpstate), a task's or a virtual CPU's: what it lacks, how much room a larger
//! one has, and what that one may say.
//!
//! Two steps, because memory cannot be had under the lock that the registers need: [`need`] says
//! what to allocate, [`commit`] says what the new buffer holds, computed again from the buffer
//! that is in place at that moment. Between them a buffer is known by its [`Capacity`].

use super::capacity::{Capacities, Capacity};
use super::xfeature::Xfeatures;

/// The masks of an fpstate: what it has room for, and what is armed.
///
/// # Invariants
///
/// Those of a buffer in place are held by its [`Capacity`]: a save writes all of `xfeatures`, and
/// nothing looks where the memory ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Masks {
    /// Components with room in the buffer.
    pub xfeatures: Xfeatures,
    /// Those of them that user space sees.
    pub user_xfeatures: Xfeatures,
    /// Components whose use traps: the task's IA32_XFD.
    pub xfd: Xfeatures,
}

/// What a first use asks of the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// There is room and nothing is armed: the CPU's IA32_XFD does not match the task. One #NM
    /// per thread and facility is the rule, so this is somebody's bug; the cure is to write the
    /// task's value.
    StaleXfd,
    /// Allocate a buffer with this room.
    Enlarge(Capacity),
}

/// What a first use of `used` asks of a task whose buffer says `masks`, in a process that is
/// `permitted` as much. `user_supported` are the components that user space can see.
///
/// The room is for everything permitted, not for what was used: a second facility then finds
/// its room.
pub fn need(masks: Masks, used: Xfeatures, permitted: Xfeatures, capacities: &Capacities) -> Need {
    if masks.xfeatures.contains(used) && (masks.xfd & used).is_empty() {
        Need::StaleXfd
    } else {
        Need::Enlarge(capacities.with(masks.xfeatures | permitted))
    }
}

/// The masks of a buffer with `capacity` that takes over from one that says `old`, when `used` are
/// used: those get their place in it, and are armed no longer. `None` if they would claim more
/// than the room.
pub fn commit(old: Masks, used: Xfeatures, capacity: &Capacity) -> Option<Masks> {
    let masks = Masks {
        xfeatures: old.xfeatures | used,
        user_xfeatures: old.user_xfeatures | used,
        xfd: old.xfd & !used,
    };
    capacity.fits(masks).then_some(masks)
}

/// The same for a virtual CPU that gets `more` components. `fpstate_realloc()`
/// (arch/x86/kernel/fpu/xstate.c:1625) makes no difference between the two: what a guest has
/// armed of `more`, which had no room before, is disarmed.
pub fn enlarged_for_guest(old: Masks, more: Xfeatures, capacity: &Capacity) -> Option<Masks> {
    commit(old, more, capacity)
}

#[cfg(test)]
mod tests {
    use super::super::capacity::tests::{capacities, capacities_in, ALL, DEFAULT};
    use super::super::layout::Format;
    use super::*;
    use proptest::prelude::*;

    const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;

    fn small() -> Masks {
        Masks {
            xfeatures: DEFAULT,
            user_xfeatures: DEFAULT,
            xfd: TILES,
        }
    }

    fn capacity(bits: u64) -> Capacity {
        capacities().with(Xfeatures::from_bits(bits))
    }

    fn need_of(masks: Masks, permitted: Xfeatures) -> Need {
        need(masks, TILES, permitted, &capacities())
    }

    #[test]
    fn a_small_buffer_grows_to_what_is_permitted() {
        let Need::Enlarge(capacity) = need_of(small(), ALL) else {
            panic!("no larger buffer")
        };
        assert_eq!(capacity.xfeatures(), ALL);
        assert_eq!(
            (capacity.kernel_size(), capacity.user_size()),
            (10752, 11008)
        );
    }

    #[test]
    fn what_the_buffer_has_keeps_its_room() {
        let supervisor = Xfeatures::from_bits(0x1000);
        let masks = Masks {
            xfeatures: DEFAULT | supervisor,
            ..small()
        };
        assert_eq!(need_of(masks, ALL), Need::Enlarge(capacity(0x612e7)));
    }

    #[test]
    fn room_alone_or_no_arming_alone_is_not_enough() {
        let armed = Masks {
            xfeatures: ALL,
            ..small()
        };
        assert_eq!(need_of(armed, ALL), Need::Enlarge(capacity(0x602e7)));
        let roomless = Masks {
            xfd: Xfeatures::NONE,
            ..small()
        };
        assert_eq!(need_of(roomless, ALL), Need::Enlarge(capacity(0x602e7)));
    }

    #[test]
    fn a_committed_buffer_needs_nothing() {
        let masks = commit(small(), TILES, &capacity(0x602e7)).unwrap();
        assert_eq!(masks.xfeatures, ALL);
        assert_eq!(masks.user_xfeatures, ALL);
        assert!(masks.xfd.is_empty());
        assert_eq!(need_of(masks, ALL), Need::StaleXfd);
    }

    #[test]
    fn a_guests_buffer_keeps_what_else_is_armed() {
        let other = Xfeatures::from_bits(1 << 19);
        let old = Masks {
            xfd: TILES | other,
            ..small()
        };
        let expected = Masks {
            xfeatures: ALL,
            user_xfeatures: ALL,
            xfd: other,
        };
        assert_eq!(
            enlarged_for_guest(old, TILES, &capacity(0x602e7)),
            Some(expected)
        );
        assert_eq!(enlarged_for_guest(old, TILES, &capacity(0x202e7)), None);
    }

    #[test]
    fn nothing_is_claimed_beyond_the_room() {
        assert_eq!(commit(small(), TILES, &capacity(0x202e7)), None);
        // Room for the register image, but not in a signal frame: user space does not see it.
        let unseen = capacities_in(Format::Compacted, DEFAULT).with(ALL);
        assert_eq!((unseen.kernel_size(), unseen.user_size()), (10752, 2816));
        assert_eq!(commit(small(), TILES, &unseen), None);
    }

    #[test]
    fn bits_without_a_component_are_not_claimed() {
        let capacity = capacity(1 << 20 | 0x602e7);
        assert_eq!(
            commit(small(), Xfeatures::from_bits(1 << 20), &capacity),
            None
        );
    }

    proptest! {
        /// DESIGN: a feature bit clear in `xfd` implies room for it.
        #[test]
        fn disarmed_implies_room(x in 0u64..1 << 20, u in 0u64..1 << 20, used in 1u64..1 << 20) {
            let used = Xfeatures::from_bits(used);
            let old = Masks {
                xfeatures: Xfeatures::from_bits(x | u),
                user_xfeatures: Xfeatures::from_bits(u),
                xfd: !Xfeatures::from_bits(x | u),
            };
            let all = Xfeatures::KNOWN;
            let capacity = capacities_in(Format::Compacted, all).with(all);
            let new = commit(old, used, &capacity).unwrap();
            prop_assert!(new.xfeatures.contains(!new.xfd));
            prop_assert!(new.xfeatures.contains(old.xfeatures));
            prop_assert!((new.xfd & used).is_empty());
        }

        /// What a buffer says fits into it, whatever is committed to it in whatever order.
        #[test]
        fn masks_never_claim_more_than_the_room(
            compacted: bool,
            permitted: u64,
            user in 0u64..1 << 20,
            built_in in 0u64..1 << 20,
            uses in proptest::collection::vec(any::<u64>(), 0..8),
        ) {
            let format = if compacted { Format::Compacted } else { Format::Standard };
            let user = Xfeatures::from_bits(user);
            let capacities = capacities_in(format, user);
            let layout = capacities.layout();
            let xfeatures = Xfeatures::from_bits(built_in);
            let mut masks = Masks { xfeatures, user_xfeatures: xfeatures & user, xfd: !xfeatures };
            let permitted = Xfeatures::from_bits(permitted);
            let capacity = capacities.with(permitted | xfeatures);
            for used in uses.into_iter().map(Xfeatures::from_bits) {
                // Some of it is refused, and what fits of it is not.
                for used in [used, used & capacity.xfeatures() & user] {
                    masks = commit(masks, used, &capacity).unwrap_or(masks);
                }
                prop_assert!(masks.xfeatures.contains(used & capacity.xfeatures() & user));
                prop_assert!(capacity.fits(masks));
                prop_assert!(layout.size(masks.xfeatures, format) <= capacity.kernel_size());
                prop_assert!(layout.size(masks.user_xfeatures, Format::Standard) <= capacity.user_size());
            }
        }

        /// Room for everything permitted: a second facility finds its own in the buffer that the
        /// first one brought.
        #[test]
        fn everything_permitted_finds_its_room(permitted in 0u64..1 << 20, used in 1u64..1 << 20) {
            let permitted = Xfeatures::from_bits(permitted | used);
            let used = Xfeatures::from_bits(used);
            let masks = Masks {
                xfeatures: Xfeatures::NONE,
                user_xfeatures: Xfeatures::NONE,
                xfd: permitted,
            };
            let need = need(masks, used, permitted, &capacities_in(Format::Compacted, permitted));
            let Need::Enlarge(capacity) = need else { panic!("no room is enough") };
            let masks = commit(masks, used, &capacity).unwrap();
            prop_assert!(commit(masks, permitted, &capacity).is_some());
        }
    }
}
