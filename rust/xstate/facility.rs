// SPDX-License-Identifier: GPL-2.0
//! The facilities that a process must request, and the components that make up each of them.
//!
//! [`LINUX`] is the only place that names a facility. What may be armed ([`DYNAMIC`]), which #NMs
//! are handled and what `arch_prctl` answers all follow from this table.

use super::permission::Refusal;
use super::xfeature::{Xfeature, Xfeatures, XFEATURE_MAX};

/// A set of components that is requested as a whole, with `ARCH_REQ_XCOMP_PERM` or
/// `ARCH_REQ_XCOMP_GUEST_PERM`.
///
/// # Invariants
///
/// - `components` is not empty.
/// - `number` is the highest of `components`.
///
/// ```
/// use xstate::facility::Facility;
/// use xstate::xfeature::Xfeatures;
///
/// let facility = Facility::of(Xfeatures::from_bits(0x82), Xfeatures::NONE);
/// assert_eq!(facility.number().nr(), 7);
/// assert_eq!(facility.components().bits(), 0x82);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facility {
    number: Xfeature,
    components: Xfeatures,
    needs: Xfeatures,
}

/// A kernel's facilities.
///
/// # Invariants
///
/// No component belongs to two facilities, so no two facilities have the same number.
///
/// ```
/// use xstate::facility::{Facilities, Facility};
/// use xstate::xfeature::Xfeatures;
///
/// let table = [
///     Facility::of(Xfeatures::from_bits(0x82), Xfeatures::NONE),
///     Facility::of(Xfeatures::from_bits(0x40000), Xfeatures::NONE),
/// ];
/// let facilities = Facilities::new(&table);
/// assert_eq!(facilities.count(), 2);
/// assert_eq!(facilities.components().bits(), 0x40082);
/// // Using one component of a facility gives the task all of that facility.
/// assert_eq!(facilities.used_by(Xfeatures::from_bits(0x2)).bits(), 0x82);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facilities<'t>(&'t [Facility]);

/// The table, with one entry for each facility that Linux grants on request. Tile data is the only
/// one. It needs the tile configuration, which every process has.
pub const LINUX: Facilities<'static> = Facilities::new(&[Facility::of(
    Xfeature::XTILE_DATA.mask(),
    Xfeature::XTILE_CFG.mask(),
)]);

/// The components of all facilities: those that a process must request, and that stay armed in
/// IA32_XFD until a task uses them.
pub const DYNAMIC: Xfeatures = LINUX.components();

impl Facility {
    /// The facility that consists of `components`, whose use initially traps. It is offered only on
    /// a machine that also has the components in `needs`.
    ///
    /// # Panics
    ///
    /// If `components` is empty.
    pub const fn of(components: Xfeatures, needs: Xfeatures) -> Self {
        match components.highest() {
            // INVARIANT: `components` is not empty, since it has a highest component.
            Some(number) => Self {
                number,
                components,
                needs,
            },
            None => panic!("a facility without components"),
        }
    }

    /// The number by which to request it: `idx` of `ARCH_REQ_XCOMP_*`.
    pub const fn number(&self) -> Xfeature {
        self.number
    }

    /// The components that a permission for this facility grants.
    pub const fn components(&self) -> Xfeatures {
        self.components
    }
}

impl<'t> Facilities<'t> {
    /// A table of facilities that have no component in common.
    ///
    /// # Panics
    ///
    /// If two facilities have a component in common.
    pub const fn new(table: &'t [Facility]) -> Self {
        assert!(are_disjoint(table), "a component of two facilities");
        // INVARIANT: just checked.
        Self(table)
    }

    /// The number of facilities.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// The components of all facilities.
    pub const fn components(&self) -> Xfeatures {
        union_of(self.0)
    }

    /// The components of the facility that `ARCH_REQ_XCOMP_*` calls `idx`. `supported` is this
    /// machine's set of user components.
    ///
    /// # Errors
    ///
    /// - [`Refusal::NoSuchXfeature`] (EINVAL): Linux knows no component with that number.
    /// - [`Refusal::NotRequestable`] (EOPNOTSUPP): `idx` is not the number of a facility, or this
    ///   machine lacks one of its components or one that it needs.
    ///
    /// ```
    /// use xstate::facility;
    /// use xstate::permission::Refusal;
    /// use xstate::xfeature::Xfeatures;
    ///
    /// let machine = Xfeatures::from_bits(0x600e7);
    /// let ask = |idx| facility::LINUX.requested(idx, machine);
    /// assert_eq!(ask(18), Ok(Xfeatures::from_bits(0x40000)));
    /// assert_eq!(ask(17), Err(Refusal::NotRequestable));
    /// assert_eq!(ask(64), Err(Refusal::NoSuchXfeature));
    /// ```
    pub fn requested(&self, idx: u64, supported: Xfeatures) -> Result<Xfeatures, Refusal> {
        if idx >= XFEATURE_MAX {
            return Err(Refusal::NoSuchXfeature);
        }
        self.0
            .iter()
            .find(|facility| u64::from(facility.number.nr()) == idx)
            .filter(|facility| supported.contains(facility.components | facility.needs))
            .map(Facility::components)
            .ok_or(Refusal::NotRequestable)
    }

    /// All components of the facilities that `raised` touches. A task that uses part of a facility
    /// gets all of it, so that the rest does not raise a second #NM.
    pub fn used_by(&self, raised: Xfeatures) -> Xfeatures {
        self.0
            .iter()
            .map(Facility::components)
            .filter(|&components| !(components & raised).is_empty())
            .fold(Xfeatures::NONE, Xfeatures::union)
    }
}

/// All components of `facilities`.
const fn union_of(facilities: &[Facility]) -> Xfeatures {
    match facilities {
        [] => Xfeatures::NONE,
        [first, others @ ..] => first.components.union(union_of(others)),
    }
}

/// Whether no component belongs to two of the facilities.
const fn are_disjoint(facilities: &[Facility]) -> bool {
    match facilities {
        [] => true,
        [first, others @ ..] => {
            first.components.bits() & union_of(others).bits() == 0 && are_disjoint(others)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPPORTED: Xfeatures = Xfeatures::from_bits(0x600e7);
    const NONE: Xfeatures = Xfeatures::NONE;
    const OF_TWO: Facility = Facility::of(Xfeatures::from_bits(0x82), NONE);

    #[test]
    fn the_table_is_linuxs() {
        let Facilities([tiles]) = LINUX else {
            panic!("{LINUX:?}")
        };
        assert_eq!(tiles.number(), Xfeature::XTILE_DATA);
        assert_eq!(tiles.components(), Xfeature::XTILE_DATA.mask());
        // XFEATURE_MASK_USER_DYNAMIC, arch/x86/include/asm/fpu/xstate.h:47.
        assert_eq!(DYNAMIC.bits(), 0x40000);
        assert_eq!(Xfeatures::USER_DYNAMIC, DYNAMIC);
    }

    #[test]
    fn a_facility_is_named_by_its_highest_component() {
        assert_eq!(OF_TWO.number().nr(), 7);
        let table = [OF_TWO, Facility::of(DYNAMIC, NONE)];
        let both = Facilities::new(&table);
        assert_eq!(both.components().bits(), 0x40082);
        assert_eq!(
            both.requested(7, SUPPORTED | both.components())
                .unwrap()
                .bits(),
            0x82
        );
        assert!(Facilities::new(&[]).components().is_empty());
    }

    #[test]
    #[should_panic(expected = "without components")]
    fn a_facility_is_of_something() {
        Facility::of(NONE, NONE);
    }

    #[test]
    #[should_panic(expected = "of two facilities")]
    fn a_component_is_of_one_facility() {
        Facilities::new(&[OF_TWO, Facility::of(Xfeatures::from_bits(0x102), NONE)]);
    }

    #[test]
    fn a_part_stands_for_the_whole() {
        let table = [OF_TWO, Facility::of(DYNAMIC, NONE)];
        let used_by = |bits| {
            Facilities::new(&table)
                .used_by(Xfeatures::from_bits(bits))
                .bits()
        };
        assert_eq!(used_by(0x2), 0x82);
        assert_eq!(used_by(0x40080), 0x40082);
        assert_eq!(used_by(0x20001), 0);
    }

    #[test]
    fn only_tile_data_is_given_on_request() {
        for idx in 0..64 {
            let expected = match idx {
                18 => Ok(Xfeature::XTILE_DATA.mask()),
                0..=19 => Err(Refusal::NotRequestable),
                _ => Err(Refusal::NoSuchXfeature),
            };
            assert_eq!(LINUX.requested(idx, SUPPORTED), expected, "facility {idx}");
        }
        assert_eq!(
            LINUX.requested(u64::MAX, SUPPORTED),
            Err(Refusal::NoSuchXfeature)
        );
    }

    #[test]
    fn what_the_machine_lacks_is_not_given() {
        for lacking in [0x200e7, 0x400e7] {
            let without = Xfeatures::from_bits(lacking);
            assert_eq!(LINUX.requested(18, without), Err(Refusal::NotRequestable));
            assert_eq!(LINUX.requested(20, without), Err(Refusal::NoSuchXfeature));
        }
    }
}
