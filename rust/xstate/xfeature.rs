// SPDX-License-Identifier: GPL-2.0
//! State components: a single component ([`Xfeature`]) and a set of them ([`Xfeatures`]).
//!
//! In the C code, component numbers and masks are both integers, and the compiler does not notice
//! if they are mixed up. Here they are two types.

use super::facility;
use core::ops::{BitAnd, BitOr, Not};

/// Component numbers below this are known to Linux: `XFEATURE_MAX`,
/// arch/x86/include/asm/fpu/types.h.
pub const XFEATURE_MAX: u64 = 20;

/// A state component, represented by its number from 0 to 62 (SDM vol. 1, 13.1), which is its bit
/// position in XCR0, IA32_XSS, XSTATE_BV and IA32_XFD.
///
/// # Invariants
///
/// The number is below 63.
///
/// ```
/// use xstate::xfeature::Xfeature;
///
/// assert_eq!(Xfeature::XTILE_DATA.nr(), 18);
/// assert_eq!(Xfeature::XTILE_DATA.mask().bits(), 0x40000);
/// assert_eq!(Xfeature::new(18), Some(Xfeature::XTILE_DATA));
/// assert_eq!(Xfeature::new(63), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Xfeature(u8);

impl Xfeature {
    /// AMX tile configuration, 64 bytes.
    pub const XTILE_CFG: Self = Self(17);

    /// AMX tile data, 8,192 bytes.
    pub const XTILE_DATA: Self = Self(18);

    /// The component with the number `nr`, or `None` if the architecture has no such number. Bit 63
    /// is not a component: in XCOMP_BV it selects the compacted format, and Linux uses it to lock a
    /// guest permission.
    pub const fn new(nr: u64) -> Option<Self> {
        if nr < 63 {
            // INVARIANT: just checked.
            Some(Self(nr as u8))
        } else {
            None
        }
    }

    /// The component number.
    pub const fn nr(self) -> u32 {
        self.0 as u32
    }

    /// The set containing only this component.
    pub const fn mask(self) -> Xfeatures {
        Xfeatures(1 << self.0)
    }
}

/// A set of state components, as in XCR0 or XSTATE_BV. Bits that are not components, such as
/// bit 63 of a guest permission, are kept as they are.
///
/// ```
/// use xstate::xfeature::{Xfeature, Xfeatures};
///
/// let all = Xfeatures::from_bits(0x600e7);
/// assert!(all.contains(Xfeature::XTILE_DATA.mask()));
/// assert_eq!(all.highest(), Some(Xfeature::XTILE_DATA));
/// assert_eq!((all & !Xfeatures::USER_DYNAMIC).bits(), 0x200e7);
/// let numbers: Vec<u32> = all.extended().map(Xfeature::nr).collect();
/// assert_eq!(numbers, [2, 5, 6, 7, 17, 18]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Xfeatures(u64);

impl Xfeatures {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The user components that a process must request: `XFEATURE_MASK_USER_DYNAMIC` (Linux 7.2,
    /// arch/x86/include/asm/fpu/xstate.h:47).
    pub const USER_DYNAMIC: Self = facility::DYNAMIC;

    /// The components that Linux knows. There is no layout for others.
    pub const KNOWN: Self = Self((1 << XFEATURE_MAX) - 1);

    /// The set with these bits, as held in a register.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of the set, as held in a register.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The union of both sets: `|` for constants.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every component of `other` is in this set. True if `other` is empty.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The component with the highest number, or `None` if the set is empty.
    pub const fn highest(self) -> Option<Xfeature> {
        if self.0 == 0 {
            None
        } else {
            Xfeature::new(63 - self.0.leading_zeros() as u64)
        }
    }

    /// The components outside the legacy region (number 2 and up), in ascending order.
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
