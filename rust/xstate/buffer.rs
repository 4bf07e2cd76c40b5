// SPDX-License-Identifier: GPL-2.0
//! The register buffer (fpstate) of a task or a virtual CPU: what it lacks, how large a larger one
//! must be, and what masks that one gets.
//!
//! There are two steps, because memory cannot be allocated under the lock that protects the
//! registers. [`need`] says what to allocate. [`commit`] computes the new buffer's masks from those
//! of the buffer that is in place when the two are exchanged. In between, only the new buffer's
//! [`Capacity`] is known.

use super::capacity::{Capacities, Capacity};
use super::xfeature::Xfeatures;

/// The masks of an fpstate: which components it has space for, and which are armed.
///
/// # Invariants
///
/// The masks of a buffer that is in place fit its [`Capacity`]. XSAVES writes everything in
/// `xfeatures` and does not check where the memory ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Masks {
    /// The components that the buffer has space for.
    pub xfeatures: Xfeatures,
    /// Those of them that are visible to user space.
    pub user_xfeatures: Xfeatures,
    /// The components whose use traps: the task's IA32_XFD.
    pub xfd: Xfeatures,
}

/// What a first use requires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// The buffer has the space and nothing is armed, so the CPU's IA32_XFD is not the task's.
    /// There should be only one #NM per thread and facility, so this indicates a bug. Writing the
    /// task's value to IA32_XFD repairs it.
    StaleXfd,
    /// Allocate a buffer with this capacity.
    Enlarge(Capacity),
}

/// What a task's first use of `used` requires. `masks` are those of its buffer, and `permitted` is
/// what its process may use.
///
/// The new buffer has space for everything that is permitted, not just for what was used. A second
/// facility therefore finds its space already there.
///
/// ```
/// use xstate::buffer::{commit, need, Masks, Need};
/// use xstate::capacity::Capacities;
/// use xstate::layout::{Component, Format, Layout};
/// use xstate::xfeature::Xfeatures;
///
/// let (legacy, tiles) = (Xfeatures::from_bits(0x3), Xfeatures::USER_DYNAMIC);
/// let layout = Layout::new(Format::Compacted, |i| match i {
///     18 => Component { size: 8192, offset: 2816, aligned64: true },
///     _ => Component::default(),
/// });
/// let capacities = Capacities::new(layout, legacy | tiles, [legacy | tiles, legacy]);
///
/// let old = Masks { xfeatures: legacy, user_xfeatures: legacy, xfd: tiles };
/// let Need::Enlarge(capacity) = need(old, tiles, legacy | tiles, &capacities) else {
///     panic!("no larger buffer needed")
/// };
/// assert_eq!(capacity.kernel_size(), 576 + 8192);
///
/// let new = commit(old, tiles, &capacity).unwrap();
/// assert_eq!((new.xfeatures, new.xfd), (legacy | tiles, Xfeatures::NONE));
/// assert_eq!(need(new, tiles, legacy | tiles, &capacities), Need::StaleXfd);
/// // A buffer that is too small never gets these masks.
/// assert_eq!(commit(old, tiles, &capacities.with(legacy)), None);
/// ```
pub fn need(masks: Masks, used: Xfeatures, permitted: Xfeatures, capacities: &Capacities) -> Need {
    if masks.xfeatures.contains(used) && (masks.xfd & used).is_empty() {
        Need::StaleXfd
    } else {
        Need::Enlarge(capacities.with(masks.xfeatures | permitted))
    }
}

/// The masks of a buffer with `capacity` that replaces one with the masks `old`. The buffer gets
/// space for `used`, which is no longer armed. `None` if that does not fit the capacity.
pub fn commit(old: Masks, used: Xfeatures, capacity: &Capacity) -> Option<Masks> {
    let masks = Masks {
        xfeatures: old.xfeatures | used,
        user_xfeatures: old.user_xfeatures | used,
        xfd: old.xfd & !used,
    };
    // INVARIANT: masks that do not fit the capacity are not returned.
    capacity.fits(masks).then_some(masks)
}

/// The masks of a virtual CPU's buffer that gets space for `more`, computed as for a task.
/// `fpstate_realloc()` (arch/x86/kernel/fpu/xstate.c:1625) also treats both alike: if the guest has
/// armed any of `more`, for which there was no space before, they are disarmed.
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
        // There is space in the register image, but not in a signal frame: user space does not
        // see the component.
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
        /// A design invariant: if a bit is clear in `xfd`, the buffer has space for that component.
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

        /// Whatever is committed to a buffer, in any order, the masks fit its capacity.
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
                // Part of the first may be refused; the second contains only what fits.
                for used in [used, used & capacity.xfeatures() & user] {
                    masks = commit(masks, used, &capacity).unwrap_or(masks);
                }
                prop_assert!(masks.xfeatures.contains(used & capacity.xfeatures() & user));
                prop_assert!(capacity.fits(masks));
                prop_assert!(layout.size(masks.xfeatures, format) <= capacity.kernel_size());
                prop_assert!(layout.size(masks.user_xfeatures, Format::Standard) <= capacity.user_size());
            }
        }

        /// There is space for everything that is permitted: a second facility fits into the buffer
        /// that was allocated for the first.
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
            let Need::Enlarge(capacity) = need else { panic!("no larger buffer") };
            let masks = commit(masks, used, &capacity).unwrap();
            prop_assert!(commit(masks, permitted, &capacity).is_some());
        }
    }
}
