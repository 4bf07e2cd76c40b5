// SPDX-License-Identifier: GPL-2.0
//! A register buffer (fpstate), a task's or a virtual CPU's: what it lacks, how much room a larger
//! one has, and what that one may say.
//!
//! Two steps, because memory cannot be had under the lock that the registers need: [`need`] says
//! what to allocate, [`commit`] says what the new buffer holds, computed again from the buffer
//! that is in place at that moment. Between them a buffer is known by its [`Room`].

use super::layout::{Format, Layout};
use super::xfeature::Xfeatures;

/// The masks of an fpstate: what it has room for, and what is armed.
///
/// # Invariants
///
/// Those of a buffer in place are held by its [`Room`]: a save writes all of `xfeatures`, and
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

/// How much a buffer can hold.
///
/// # Invariants
///
/// - A register image with `xfeatures`, or with any part of them, takes at most `kernel_size`
///   bytes in the kernel's format.
/// - One with `user_xfeatures`, or with any part of them, takes at most `user_size` bytes in the
///   standard format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    xfeatures: Xfeatures,
    user_xfeatures: Xfeatures,
    kernel_size: u32,
    user_size: u32,
}

impl Room {
    /// Room for `xfeatures`, of which user space sees those that are `user_supported`. Bits that
    /// name no component Linux knows get none.
    ///
    /// ```
    /// use xstate::buffer::Room;
    /// use xstate::layout::{Component, Format, Layout};
    /// use xstate::xfeature::Xfeatures;
    ///
    /// let tiles = Component { size: 8192, offset: 2816, aligned64: true };
    /// let layout = Layout::new(Format::Compacted, |i| match i {
    ///     18 => tiles,
    ///     _ => Component::default(),
    /// });
    /// let all = Xfeatures::from_bits(0x40003);
    /// let room = Room::for_components(all, all, &layout);
    /// assert_eq!((room.kernel_size(), room.user_size()), (576 + 8192, 2816 + 8192));
    /// ```
    pub fn for_components(
        xfeatures: Xfeatures,
        user_supported: Xfeatures,
        layout: &Layout,
    ) -> Self {
        let xfeatures = xfeatures & Xfeatures::KNOWN;
        let user_xfeatures = xfeatures & user_supported;
        Self {
            xfeatures,
            user_xfeatures,
            kernel_size: layout.size(xfeatures, layout.kernel_format()),
            user_size: layout.size(user_xfeatures, Format::Standard),
        }
    }

    /// Components that find room.
    pub fn xfeatures(&self) -> Xfeatures {
        self.xfeatures
    }

    /// Bytes of the register image, in the kernel's format.
    pub fn kernel_size(&self) -> u32 {
        self.kernel_size
    }

    /// Bytes of the components that user space sees, in the standard format: signal frames,
    /// ptrace.
    pub fn user_size(&self) -> u32 {
        self.user_size
    }

    /// Whether a buffer with this room may say `masks`.
    pub fn holds(&self, masks: Masks) -> bool {
        self.xfeatures.contains(masks.xfeatures)
            && self.user_xfeatures.contains(masks.user_xfeatures)
    }
}

/// What a first use asks of the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// There is room and nothing is armed: the CPU's IA32_XFD does not match the task. One #NM
    /// per thread and facility is the rule, so this is somebody's bug; the cure is to write the
    /// task's value.
    NothingButArming,
    /// Allocate a buffer with this room.
    Enlarge(Room),
}

/// What a first use of `used` asks of a task whose buffer says `masks`, in a process that is
/// `permitted` as much. `user_supported` are the components that user space can see.
///
/// The room is for everything permitted, not for what was used: a second facility then finds
/// its room.
pub fn need(
    masks: Masks,
    used: Xfeatures,
    permitted: Xfeatures,
    user_supported: Xfeatures,
    layout: &Layout,
) -> Need {
    if masks.xfeatures.contains(used) && (masks.xfd & used).is_empty() {
        Need::NothingButArming
    } else {
        let xfeatures = masks.xfeatures | permitted;
        Need::Enlarge(Room::for_components(xfeatures, user_supported, layout))
    }
}

/// The masks of a buffer with `room` that takes over from one that says `old`, when `used` are
/// used: those get their place in it, and are armed no longer. `None` if they would claim more
/// than the room.
pub fn commit(old: Masks, used: Xfeatures, room: &Room) -> Option<Masks> {
    let masks = Masks {
        xfeatures: old.xfeatures | used,
        user_xfeatures: old.user_xfeatures | used,
        xfd: old.xfd & !used,
    };
    room.holds(masks).then_some(masks)
}

/// The same for a virtual CPU that gets `more` components. `fpstate_realloc()`
/// (arch/x86/kernel/fpu/xstate.c:1625) makes no difference between the two: what a guest has
/// armed of `more`, which had no room before, is disarmed.
pub fn enlarged_for_guest(old: Masks, more: Xfeatures, room: &Room) -> Option<Masks> {
    commit(old, more, room)
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::{sapphire_rapids, sapphire_rapids_in};
    use super::*;
    use proptest::prelude::*;

    const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
    const DEFAULT: Xfeatures = Xfeatures::from_bits(0x202e7);
    const ALL: Xfeatures = Xfeatures::from_bits(0x602e7);

    fn small() -> Masks {
        Masks {
            xfeatures: DEFAULT,
            user_xfeatures: DEFAULT,
            xfd: TILES,
        }
    }

    fn room(bits: u64) -> Room {
        Room::for_components(Xfeatures::from_bits(bits), ALL, &sapphire_rapids())
    }

    fn need_of(masks: Masks, permitted: Xfeatures) -> Need {
        need(masks, TILES, permitted, ALL, &sapphire_rapids())
    }

    #[test]
    fn a_small_buffer_grows_to_what_is_permitted() {
        let Need::Enlarge(room) = need_of(small(), ALL) else {
            panic!("no larger buffer")
        };
        assert_eq!(room.xfeatures(), ALL);
        assert_eq!((room.kernel_size(), room.user_size()), (10752, 11008));
    }

    #[test]
    fn what_the_buffer_has_keeps_its_room() {
        let supervisor = Xfeatures::from_bits(0x1000);
        let masks = Masks {
            xfeatures: DEFAULT | supervisor,
            ..small()
        };
        assert_eq!(need_of(masks, ALL), Need::Enlarge(room(0x612e7)));
    }

    #[test]
    fn room_alone_or_no_arming_alone_is_not_enough() {
        let armed = Masks {
            xfeatures: ALL,
            ..small()
        };
        assert_eq!(need_of(armed, ALL), Need::Enlarge(room(0x602e7)));
        let roomless = Masks {
            xfd: Xfeatures::NONE,
            ..small()
        };
        assert_eq!(need_of(roomless, ALL), Need::Enlarge(room(0x602e7)));
    }

    #[test]
    fn a_committed_buffer_needs_nothing() {
        let masks = commit(small(), TILES, &room(0x602e7)).unwrap();
        assert_eq!(masks.xfeatures, ALL);
        assert_eq!(masks.user_xfeatures, ALL);
        assert!(masks.xfd.is_empty());
        assert_eq!(need_of(masks, ALL), Need::NothingButArming);
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
            enlarged_for_guest(old, TILES, &room(0x602e7)),
            Some(expected)
        );
        assert_eq!(enlarged_for_guest(old, TILES, &room(0x202e7)), None);
    }

    #[test]
    fn nothing_is_claimed_beyond_the_room() {
        assert_eq!(commit(small(), TILES, &room(0x202e7)), None);
        // Room for the register image, but not in a signal frame: user space does not see it.
        let unseen = Room::for_components(ALL, DEFAULT, &sapphire_rapids());
        assert_eq!((unseen.kernel_size(), unseen.user_size()), (10752, 2816));
        assert_eq!(commit(small(), TILES, &unseen), None);
    }

    #[test]
    fn bits_without_a_component_get_no_room() {
        let room = room(1 << 63 | 1 << 20 | 0x602e7);
        assert_eq!(room.xfeatures(), ALL);
        assert_eq!(room.kernel_size(), 10752);
        assert_eq!(commit(small(), Xfeatures::from_bits(1 << 20), &room), None);
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
            let room = Room::for_components(all, all, &sapphire_rapids());
            let new = commit(old, used, &room).unwrap();
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
            let layout = sapphire_rapids_in(format);
            let user = Xfeatures::from_bits(user);
            let xfeatures = Xfeatures::from_bits(built_in);
            let mut masks = Masks { xfeatures, user_xfeatures: xfeatures & user, xfd: !xfeatures };
            let permitted = Xfeatures::from_bits(permitted);
            let room = Room::for_components(permitted | xfeatures, user, &layout);
            for used in uses.into_iter().map(Xfeatures::from_bits) {
                // Some of it is refused, and what fits of it is not.
                for used in [used, used & room.xfeatures() & user] {
                    masks = commit(masks, used, &room).unwrap_or(masks);
                }
                prop_assert!(masks.xfeatures.contains(used & room.xfeatures() & user));
                prop_assert!(room.holds(masks));
                prop_assert!(layout.size(masks.xfeatures, format) <= room.kernel_size());
                prop_assert!(layout.size(masks.user_xfeatures, Format::Standard) <= room.user_size());
            }
        }

        /// The room's invariant itself: any part of its components takes no more.
        #[test]
        fn a_part_of_the_components_fits(compacted: bool, all in 0u64..1 << 20, part: u64) {
            let format = if compacted { Format::Compacted } else { Format::Standard };
            let layout = sapphire_rapids_in(format);
            let room = Room::for_components(Xfeatures::from_bits(all), ALL, &layout);
            let part = Xfeatures::from_bits(part) & room.xfeatures();
            prop_assert!(layout.size(part, format) <= room.kernel_size());
            prop_assert!(layout.size(part & ALL, Format::Standard) <= room.user_size());
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
            let need = need(masks, used, permitted, permitted, &sapphire_rapids());
            let Need::Enlarge(room) = need else { panic!("no room is enough") };
            let masks = commit(masks, used, &room).unwrap();
            prop_assert!(commit(masks, permitted, &room).is_some());
        }
    }
}
