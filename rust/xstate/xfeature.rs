// SPDX-License-Identifier: GPL-2.0
//! State components: one ([`Xfeature`]) and a set of them ([`Xfeatures`]).
//!
//! A number and a mask are both integers in C, and mixing them up is a silent error there; here
//! they are two types.

use super::facility;
use core::ops::{BitAnd, BitOr, Not};

/// Numbers of state components Linux knows: `XFEATURE_MAX`, arch/x86/include/asm/fpu/types.h.
pub const XFEATURE_MAX: u64 = 20;

/// A state component by its number, 0 to 62 (SDM vol. 1, 13.1): the bit position in XCR0,
/// IA32_XSS, XSTATE_BV and IA32_XFD.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Xfeature(u8);

impl Xfeature {
    /// AMX tile configuration, 64 bytes.
    pub const XTILE_CFG: Self = Self(17);

    /// AMX tile data, 8192 bytes.
    pub const XTILE_DATA: Self = Self(18);

    /// The component numbered `nr`, or `None` beyond the last the architecture can name. Bit 63
    /// is no component: XCOMP_BV uses it for the format, Linux for its guest permission lock.
    pub const fn new(nr: u64) -> Option<Self> {
        if nr < 63 {
            Some(Self(nr as u8))
        } else {
            None
        }
    }

    /// The component's number.
    pub const fn nr(self) -> u32 {
        self.0 as u32
    }

    /// The set of just this component.
    pub const fn mask(self) -> Xfeatures {
        Xfeatures(1 << self.0)
    }
}

/// A set of state components, as in XCR0 or XSTATE_BV. Kernel-defined bits (63) pass through
/// untouched.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Xfeatures(u64);

impl Xfeatures {
    /// No component.
    pub const NONE: Self = Self(0);

    /// User components that a process gets only on request (Linux 7.2
    /// arch/x86/include/asm/fpu/xstate.h:47).
    pub const USER_DYNAMIC: Self = facility::DYNAMIC;

    /// The components that Linux knows, by their numbers: all whose layout can be told.
    pub const KNOWN: Self = Self((1 << XFEATURE_MAX) - 1);

    /// From the register image `bits`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As the register image.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The components of either set; `|`, for constants.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every component of `other` is in this set; true for an empty `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The component with the highest number; `None` if there is none.
    pub const fn highest(self) -> Option<Xfeature> {
        if self.0 == 0 {
            None
        } else {
            Xfeature::new(63 - self.0.leading_zeros() as u64)
        }
    }

    /// The components beyond the legacy region (number 2 and up), lowest first.
    pub fn extended(self) -> impl Iterator<Item = Xfeature> {
        let legacy_region = 0b11;
        let mut left = self.0 & !legacy_region;
        (0..left.count_ones()).filter_map(move |_| {
            let lowest = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            Xfeature::new(u64::from(lowest))
        })
    }
}

impl BitOr for Xfeatures {
    type Output = Self;
    fn bitor(self, rhs: Self) -> Self {
        self.union(rhs)
    }
}

impl BitAnd for Xfeatures {
    type Output = Self;
    fn bitand(self, rhs: Self) -> Self {
        Self(self.0 & rhs.0)
    }
}

impl Not for Xfeatures {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_mask() {
        assert_eq!(Xfeature::XTILE_DATA.mask().bits(), 0x40000);
        assert_eq!(Xfeature::new(63), None);
        assert_eq!(
            Xfeatures::from_bits(0x600e7).highest(),
            Some(Xfeature::XTILE_DATA)
        );
        assert_eq!(Xfeatures::NONE.highest(), None);
    }

    #[test]
    fn extended_leaves_out_the_legacy_region() {
        let mut seen = Xfeatures::from_bits(0x600e7).extended().map(Xfeature::nr);
        for expected in [2, 5, 6, 7, 17, 18] {
            assert_eq!(seen.next(), Some(expected));
        }
        assert_eq!(seen.next(), None);
    }
}
