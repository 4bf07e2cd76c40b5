// SPDX-License-Identifier: GPL-2.0
//! A feature, and a set of features. Bit numbers and masks have different types.

use core::fmt;

/// An extended feature, identified by the number of its XSAVE state component (SDM vol. 1, 13.1).
///
/// ```
/// use xcomp::Feature;
///
/// assert_eq!(Feature::TILE_DATA, Feature::from_component(18));
/// assert_eq!(Feature::TILE_DATA.component(), 18);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feature(u64);

impl Feature {
    /// AMX tile configuration, 64 bytes. It is always permitted if the machine has it.
    pub const TILE_CFG: Feature = Feature(17);

    /// AMX tile data, 8,192 bytes. It must be requested. The permission covers all of AMX.
    pub const TILE_DATA: Feature = Feature(18);

    /// The feature with this component number. The crate need not know it: the kernel decides.
    #[must_use]
    pub const fn from_component(number: u64) -> Self {
        Feature(number)
    }

    /// The number of the state component.
    #[must_use]
    pub const fn component(self) -> u64 {
        self.0
    }
}

/// A set of features, as the kernel reports it: bit *n* stands for component *n*.
///
/// ```
/// use xcomp::{Feature, FeatureSet};
///
/// let avx512 = FeatureSet::from_bits(0xe7);
/// let amx = avx512.with(Feature::TILE_CFG).with(Feature::TILE_DATA);
/// assert_eq!(amx.bits(), 0x600e7);
/// assert!(avx512.is_subset(amx));
/// assert!(!amx.is_subset(avx512));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FeatureSet(u64);

impl FeatureSet {
    /// The set with this mask.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        FeatureSet(bits)
    }

    /// The mask, with one bit per component.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether `feature` is in the set. A component above 63 is in no set.
    ///
    /// ```
    /// use xcomp::{Feature, FeatureSet};
    /// let permitted = FeatureSet::from_bits(0x600e7);
    /// assert!(permitted.contains(Feature::TILE_DATA));
    /// assert!(!permitted.contains(Feature::from_component(9)));
    /// ```
    #[must_use]
    pub const fn contains(self, feature: Feature) -> bool {
        feature.0 < 64 && self.0 >> feature.0 & 1 == 1
    }

    /// The set with `feature` added. A component above 63 is ignored.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        if feature.0 < 64 {
            FeatureSet(self.0 | 1 << feature.0)
        } else {
            self
        }
    }

    /// Whether every feature in this set is also in `other`.
    #[must_use]
    pub const fn is_subset(self, other: FeatureSet) -> bool {
        self.0 & !other.0 == 0
    }
}

impl fmt::Display for FeatureSet {
    /// The mask in hexadecimal, as the kernel logs it.
    ///
    /// ```
    /// assert_eq!(xcomp::FeatureSet::from_bits(0x600e7).to_string(), "0x600e7");
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_beyond_the_mask_is_in_no_set() {
        let all = FeatureSet::from_bits(u64::MAX);
        assert!(all.contains(Feature::from_component(63)));
        assert!(!all.contains(Feature::from_component(64)));
        assert!(!all.contains(Feature::from_component(u64::MAX)));
        assert_eq!(
            FeatureSet::default()
                .with(Feature::from_component(64))
                .bits(),
            0
        );
    }

    #[test]
    fn with_adds_exactly_its_bit() {
        let before = FeatureSet::from_bits(0x200e7);
        let after = before.with(Feature::TILE_DATA);
        assert_eq!(after.bits(), 0x600e7);
        assert!(before.is_subset(after));
        assert!(!after.is_subset(before));
        assert_eq!(after.with(Feature::TILE_DATA), after);
    }
}
