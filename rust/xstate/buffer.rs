// SPDX-License-Identifier: GPL-2.0
//! A task's register buffer (fpstate): what it lacks, and what it must say once it is larger.
//!
//! Two steps, because memory cannot be had under the lock that the registers need: [`need`] says
//! what to allocate, [`commit`] says what the new buffer holds, computed again from the buffer
//! that is in place at that moment.

use super::permission::Permission;
use super::xfeature::Xfeatures;

/// The masks of an fpstate: what it has room for, and what is armed.
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
    NothingButArming,
    /// Allocate a buffer for a register image of `kernel_size` bytes that user space sees as
    /// `user_size` bytes.
    Enlarge {
        /// Bytes of the register image.
        kernel_size: u32,
        /// Bytes of the user components in the standard format.
        user_size: u32,
    },
}

/// What a first use of `used` asks of a task whose buffer says `masks`, in a process with
/// `permission`.
///
/// The buffer is sized for everything permitted, not for what was used: a second facility then
/// finds its room.
pub fn need(masks: Masks, used: Xfeatures, permission: &Permission) -> Need {
    if masks.xfeatures.contains(used) && (masks.xfd & used).is_empty() {
        Need::NothingButArming
    } else {
        Need::Enlarge {
            kernel_size: permission.kernel_size,
            user_size: permission.user_size,
        }
    }
}

/// The masks of the enlarged buffer that takes over from one that says `old`.
pub fn commit(old: Masks, used: Xfeatures) -> Masks {
    Masks {
        xfeatures: old.xfeatures | used,
        user_xfeatures: old.user_xfeatures | used,
        xfd: old.xfd & !used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
    const PERMISSION: Permission = Permission {
        xfeatures: Xfeatures::from_bits(0x602e7),
        kernel_size: 10752,
        user_size: 11008,
    };

    fn small() -> Masks {
        Masks {
            xfeatures: Xfeatures::from_bits(0x202e7),
            user_xfeatures: Xfeatures::from_bits(0x202e7),
            xfd: TILES,
        }
    }

    #[test]
    fn a_small_buffer_grows_to_what_is_permitted() {
        let need = need(small(), TILES, &PERMISSION);
        assert_eq!(
            need,
            Need::Enlarge {
                kernel_size: 10752,
                user_size: 11008
            }
        );
    }

    #[test]
    fn a_committed_buffer_needs_nothing() {
        let masks = commit(small(), TILES);
        assert_eq!(masks.xfeatures.bits(), 0x602e7);
        assert_eq!(masks.user_xfeatures.bits(), 0x602e7);
        assert!(masks.xfd.is_empty());
        assert_eq!(need(masks, TILES, &PERMISSION), Need::NothingButArming);
    }

    proptest! {
        /// DESIGN: a feature bit clear in `xfd` implies room for it.
        #[test]
        fn disarmed_implies_room(x in 0u64..1 << 20, u in 0u64..1 << 20, used in 1u64..1 << 20) {
            let old = Masks {
                xfeatures: Xfeatures::from_bits(x),
                user_xfeatures: Xfeatures::from_bits(u),
                xfd: !Xfeatures::from_bits(x),
            };
            let new = commit(old, Xfeatures::from_bits(used));
            prop_assert!(new.xfeatures.contains(!new.xfd));
            prop_assert!(new.xfeatures.contains(old.xfeatures));
            prop_assert!((new.xfd & Xfeatures::from_bits(used)).is_empty());
        }
    }
}
