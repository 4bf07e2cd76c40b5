// SPDX-License-Identifier: GPL-2.0
//! The facilities that a process gets only on request, and the components that each stands for.
//!
//! [`FACILITIES`] is the only place that names one: what may be armed ([`DYNAMIC`]), whose #NM is
//! served and what `arch_prctl` answers all follow from it.

use super::permission::Refusal;
use super::xfeature::{Xfeature, Xfeatures, XFEATURE_MAX};

/// What can be asked for as one: `ARCH_REQ_XCOMP_PERM` and `ARCH_REQ_XCOMP_GUEST_PERM`.
///
/// # Invariants
///
/// `number` is the highest of `components`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facility {
    number: Xfeature,
    components: Xfeatures,
}

/// The table: one entry for each facility that Linux gives on request.
pub const FACILITIES: &[Facility] = &[Facility::of(Xfeature::XTILE_DATA.mask())];

/// The components of all facilities: those that a process gets only on request, and that are
/// armed in IA32_XFD until a task uses them.
pub const DYNAMIC: Xfeatures = union_of(FACILITIES);

impl Facility {
    /// The facility of `components`, which are not none.
    const fn of(components: Xfeatures) -> Self {
        match components.highest() {
            Some(number) => Self { number, components },
            None => panic!("a facility without components"),
        }
    }

    /// The number to ask for it by.
    pub const fn number(&self) -> Xfeature {
        self.number
    }

    /// The components that its permission grants.
    pub const fn components(&self) -> Xfeatures {
        self.components
    }
}

/// The components of any of `facilities`.
const fn union_of(facilities: &[Facility]) -> Xfeatures {
    match facilities {
        [] => Xfeatures::NONE,
        [first, others @ ..] => first.components.union(union_of(others)),
    }
}

/// The components that the facility `idx` of `ARCH_REQ_XCOMP_*` stands for. `supported` are the
/// machine's user components.
///
/// ```
/// use xstate::facility;
/// use xstate::permission::Refusal;
/// use xstate::xfeature::Xfeatures;
///
/// let machine = Xfeatures::from_bits(0x600e7);
/// assert_eq!(facility::requested(18, machine), Ok(Xfeatures::from_bits(0x40000)));
/// assert_eq!(facility::requested(17, machine), Err(Refusal::NotOnRequest));
/// assert_eq!(facility::requested(64, machine), Err(Refusal::NoSuchXfeature));
/// ```
pub fn requested(idx: u64, supported: Xfeatures) -> Result<Xfeatures, Refusal> {
    if idx >= XFEATURE_MAX {
        return Err(Refusal::NoSuchXfeature);
    }
    FACILITIES
        .iter()
        .find(|facility| u64::from(facility.number.nr()) == idx)
        .map(Facility::components)
        .filter(|components| supported.contains(*components))
        .ok_or(Refusal::NotOnRequest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPPORTED: Xfeatures = Xfeatures::from_bits(0x600e7);

    #[test]
    fn the_table_is_linuxs() {
        let [tiles] = FACILITIES else {
            panic!("{FACILITIES:?}")
        };
        assert_eq!(tiles.number(), Xfeature::XTILE_DATA);
        assert_eq!(tiles.components(), Xfeature::XTILE_DATA.mask());
        // XFEATURE_MASK_USER_DYNAMIC, arch/x86/include/asm/fpu/xstate.h:47.
        assert_eq!(DYNAMIC.bits(), 0x40000);
        assert_eq!(Xfeatures::USER_DYNAMIC, DYNAMIC);
    }

    #[test]
    fn a_facility_is_named_by_its_highest_component() {
        let of_two = Facility::of(Xfeatures::from_bits(0x82));
        assert_eq!(of_two.number().nr(), 7);
        let union = union_of(&[of_two, FACILITIES[0]]);
        assert_eq!(union.bits(), 0x40082);
        assert!(union_of(&[]).is_empty());
    }

    #[test]
    #[should_panic(expected = "without components")]
    fn a_facility_is_of_something() {
        Facility::of(Xfeatures::NONE);
    }

    #[test]
    fn only_tile_data_is_given_on_request() {
        for idx in 0..64 {
            let expected = match idx {
                18 => Ok(Xfeature::XTILE_DATA.mask()),
                0..=19 => Err(Refusal::NotOnRequest),
                _ => Err(Refusal::NoSuchXfeature),
            };
            assert_eq!(requested(idx, SUPPORTED), expected, "facility {idx}");
        }
        assert_eq!(requested(u64::MAX, SUPPORTED), Err(Refusal::NoSuchXfeature));
    }

    #[test]
    fn what_the_machine_lacks_is_not_given() {
        let without = Xfeatures::from_bits(0x200e7);
        assert_eq!(requested(18, without), Err(Refusal::NotOnRequest));
        assert_eq!(requested(20, without), Err(Refusal::NoSuchXfeature));
    }
}
