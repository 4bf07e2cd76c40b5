// SPDX-License-Identifier: GPL-2.0
//! KUnit tests: the core (xstate) decides in the kernel as it does in its host tests.

use kernel::macros::kunit_tests;

#[kunit_tests(xfd)]
mod tests {
    use crate::xstate::arming::write_needed;
    use crate::xstate::buffer::{commit, need, Masks, Need};
    use crate::xstate::capacity::Capacities;
    use crate::xstate::facility;
    use crate::xstate::guest::{enable, update_xfd, Enabling, XfdUpdate};
    use crate::xstate::idle::{classify, Clock, Idleness, Note};
    use crate::xstate::layout::{Component, Format, Layout};
    use crate::xstate::nm_event::NmEvent;
    use crate::xstate::permission::{
        altstack_minimum, request, Answer, PermissionKind, Refusal, GUEST_LOCKED,
    };
    use crate::xstate::xfeature::Xfeatures;

    const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
    const DEFAULT: Xfeatures = Xfeatures::from_bits(0x202e7);
    const ALL: Xfeatures = Xfeatures::from_bits(0x602e7);

    /// Those of a Sapphire Rapids without CET.
    fn capacities(format: Format) -> Capacities {
        let layout = Layout::new(format, |nr| {
            let (size, offset, aligned64) = match nr {
                2 => (256, 576, false),
                5 => (64, 1088, false),
                6 => (512, 1152, false),
                7 => (1024, 1664, false),
                9 => (8, 2688, false),
                17 => (64, 2752, true),
                18 => (8192, 2816, true),
                _ => (0, 0, false),
            };
            Component {
                size,
                offset,
                aligned64,
            }
        });
        Capacities::new(layout, ALL, [ALL, DEFAULT])
    }

    fn small() -> Masks {
        Masks {
            xfeatures: DEFAULT,
            user_xfeatures: DEFAULT,
            xfd: TILES,
        }
    }

    #[test]
    fn sizes_are_those_of_silicon() {
        let all = capacities(Format::Compacted).with(ALL);
        assert_eq!(all.kernel_size(), 10752);
        assert_eq!(all.user_size(), 11008);
        assert_eq!(capacities(Format::Standard).with(ALL).kernel_size(), 11008);
        assert_eq!(
            capacities(Format::Compacted).with(DEFAULT).user_size(),
            2816
        );
    }

    #[test]
    fn xfd_err_says_whose_fault_an_nm_is() {
        let event = |bits| NmEvent::from_xfd_err(bits, facility::LINUX);
        assert!(event(0) == NmEvent::Ordinary);
        assert!(event(1 << 18) == NmEvent::FirstUse(TILES));
        assert!(event(1 << 17) == NmEvent::Unknown(Xfeatures::from_bits(1 << 17)));
    }

    #[test]
    fn only_tile_data_can_be_requested() {
        let ask = |idx| facility::LINUX.requested(idx, ALL);
        assert!(ask(18) == Ok(TILES));
        assert!(ask(17) == Err(Refusal::NotRequestable));
        assert!(ask(64) == Err(Refusal::NoSuchXfeature));
        assert!(facility::LINUX.requested(18, DEFAULT) == Err(Refusal::NotRequestable));
    }

    #[test]
    fn a_permission_grows_and_a_vcpu_locks_it() {
        let capacities = capacities(Format::Compacted);
        let ask = |mask, kind| request(mask, TILES, kind, &capacities);
        let granted = match ask(DEFAULT, PermissionKind::Host) {
            Ok(Answer::Grant(granted)) => Some(granted),
            _ => None,
        };
        assert!(granted.is_some_and(|p| p.xfeatures == ALL && p.kernel_size == 10752));
        assert!(ask(ALL, PermissionKind::Host) == Ok(Answer::Already));
        assert!(ask(DEFAULT | GUEST_LOCKED, PermissionKind::Guest) == Err(Refusal::GuestLocked));
        assert!(ask(ALL | GUEST_LOCKED, PermissionKind::Guest) == Ok(Answer::Already));
        assert_eq!(altstack_minimum(11952, 11008, 11008), 11952);
    }

    #[test]
    fn a_first_use_gets_room_and_a_second_one_is_a_bug() {
        let capacities = capacities(Format::Compacted);
        assert!(need(small(), TILES, ALL, &capacities) == Need::Enlarge(capacities.with(ALL)));
        let masks = commit(small(), TILES, &capacities.with(ALL));
        assert!(masks.is_some_and(|m| m.xfeatures == ALL && m.xfd.is_empty()));
        assert!(masks.is_some_and(|m| need(m, TILES, ALL, &capacities) == Need::StaleXfd));
        assert!(commit(small(), TILES, &capacities.with(DEFAULT)).is_none());
    }

    #[test]
    fn the_msr_is_written_only_when_it_differs() {
        assert!(write_needed(TILES, Xfeatures::NONE) == Some(Xfeatures::NONE));
        assert!(write_needed(TILES, TILES).is_none());
    }

    #[test]
    fn a_task_is_idle_after_a_whole_interval() {
        let none = Xfeatures::NONE;
        let first = classify(none, None, Clock::at(5000), 1000, 7);
        let note = match first {
            Idleness::IdleSince(note) => Note::from_word(note.word()),
            _ => None,
        };
        assert!(note.is_some());
        let later = |at, switches| classify(none, note, Clock::at(at), 1000, switches);
        assert!(later(5999, 7) != Idleness::Reclaimable);
        assert!(later(6000, 7) == Idleness::Reclaimable);
        assert!(later(6000, 8) != Idleness::Reclaimable);
        assert!(classify(TILES, note, Clock::at(9000), 1000, 7) == Idleness::InUse);
    }

    #[test]
    fn a_guest_needs_the_permission() {
        assert!(enable(ALL, DEFAULT, ALL) == Enabling::Enlarge(TILES));
        assert!(enable(ALL, DEFAULT, DEFAULT) == Enabling::Refused);
        assert!(enable(ALL, ALL, DEFAULT) == Enabling::Kept);
        assert!(update_xfd(TILES, true, true) == XfdUpdate::InRegisters);
        assert!(update_xfd(TILES, false, true) == XfdUpdate::InMemory { drop: TILES });
    }
}
