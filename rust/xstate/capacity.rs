// SPDX-License-Identifier: GPL-2.0
//! How much a register buffer can hold, and the usual capacities on this machine.

use super::buffer::Masks;
use super::layout::{Format, Layout};
use super::xfeature::Xfeatures;

/// How much a buffer can hold.
///
/// # Invariants
///
/// - A register image of `xfeatures`, or of any subset, takes at most `kernel_size` bytes in the
///   kernel's format.
/// - A register image of `user_xfeatures`, or of any subset, takes at most `user_size` bytes in
///   the standard format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    xfeatures: Xfeatures,
    user_xfeatures: Xfeatures,
    kernel_size: u32,
    user_size: u32,
}

impl Capacity {
    fn computed(xfeatures: Xfeatures, user_supported: Xfeatures, layout: &Layout) -> Self {
        let xfeatures = xfeatures & Xfeatures::KNOWN;
        let user_xfeatures = xfeatures & user_supported;
        // INVARIANT: both sizes are those of the whole sets, and a subset never takes more space.
        Self {
            xfeatures,
            user_xfeatures,
            kernel_size: layout.size(xfeatures, layout.kernel_format()),
            user_size: layout.size(user_xfeatures, Format::Standard),
        }
    }

    /// The components for which there is space.
    pub fn xfeatures(&self) -> Xfeatures {
        self.xfeatures
    }

    /// Size in bytes of the register image in the kernel's format.
    pub fn kernel_size(&self) -> u32 {
        self.kernel_size
    }

    /// Size in bytes of the components that user space sees, in the standard format (signal
    /// frames, ptrace).
    pub fn user_size(&self) -> u32 {
        self.user_size
    }

    /// Whether a buffer with this capacity may have `masks`.
    pub fn fits(&self, masks: Masks) -> bool {
        self.xfeatures.contains(masks.xfeatures)
            && self.user_xfeatures.contains(masks.user_xfeatures)
    }
}

/// This machine's capacities. Two of them are needed again and again, so they are computed only
/// once: those of a task and of a virtual CPU with every component.
#[derive(Clone, Copy, Debug)]
pub struct Capacities {
    layout: Layout,
    user_supported: Xfeatures,
    usual: [Capacity; 2],
}

impl Capacities {
    /// The capacities of a machine whose components are laid out as in `layout`. `user_supported`
    /// are the components visible to user space, and `usual` are the two sets to compute in
    /// advance.
    ///
    /// ```
    /// use xstate::layout::{Component, Format, Layout};
    /// use xstate::capacity::Capacities;
    /// use xstate::xfeature::Xfeatures;
    ///
    /// let tiles = Component { size: 8192, offset: 2816, aligned64: true };
    /// let layout = Layout::new(Format::Compacted, |i| match i {
    ///     18 => tiles,
    ///     _ => Component::default(),
    /// });
    /// let all = Xfeatures::from_bits(0x40003);
    /// let capacity = Capacities::new(layout, all, [all, Xfeatures::NONE]).with(all);
    /// assert_eq!((capacity.kernel_size(), capacity.user_size()), (576 + 8192, 2816 + 8192));
    /// ```
    pub fn new(layout: Layout, user_supported: Xfeatures, usual: [Xfeatures; 2]) -> Self {
        Self {
            layout,
            user_supported,
            usual: usual.map(|xfeatures| Capacity::computed(xfeatures, user_supported, &layout)),
        }
    }

    /// The capacity for `xfeatures`. Bits that are not components known to Linux take no space.
    pub fn with(&self, xfeatures: Xfeatures) -> Capacity {
        let xfeatures = xfeatures & Xfeatures::KNOWN;
        match self
            .usual
            .iter()
            .find(|capacity| capacity.xfeatures == xfeatures)
        {
            Some(capacity) => *capacity,
            None => Capacity::computed(xfeatures, self.user_supported, &self.layout),
        }
    }

    /// Where the components lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::layout::tests::sapphire_rapids_in;
    use super::*;
    use proptest::prelude::*;

    pub(crate) const DEFAULT: Xfeatures = Xfeatures::from_bits(0x202e7);
    pub(crate) const ALL: Xfeatures = Xfeatures::from_bits(0x602e7);
    /// A virtual CPU's default components: these also include a CET supervisor component.
    const GUEST: Xfeatures = Xfeatures::from_bits(0x612e7);

    /// The capacities of a Sapphire Rapids.
    pub(crate) fn capacities() -> Capacities {
        capacities_in(Format::Compacted, ALL)
    }

    /// The same machine with a kernel that keeps its buffers in `format`, and shows
    /// `user_supported` to user space.
    pub(crate) fn capacities_in(format: Format, user_supported: Xfeatures) -> Capacities {
        Capacities::new(sapphire_rapids_in(format), user_supported, [ALL, GUEST])
    }

    #[test]
    fn the_usual_capacities_are_those_computed() {
        for format in [Format::Compacted, Format::Standard] {
            let capacities = capacities_in(format, ALL);
            for xfeatures in [ALL, GUEST, DEFAULT, Xfeatures::NONE] {
                let computed = Capacity::computed(xfeatures, ALL, capacities.layout());
                assert_eq!(capacities.with(xfeatures), computed);
                assert_eq!(computed.xfeatures(), xfeatures);
            }
        }
    }

    #[test]
    fn bits_without_a_component_take_no_space() {
        for xfeatures in [ALL, DEFAULT] {
            let nameless = Xfeatures::from_bits(1 << 63 | 1 << 20);
            let capacity = capacities().with(xfeatures | nameless);
            assert_eq!(capacity, capacities().with(xfeatures));
            assert_eq!(capacity.xfeatures(), xfeatures);
        }
        assert_eq!(capacities().with(ALL).kernel_size(), 10752);
    }

    proptest! {
        /// The invariant of a capacity: no subset of its components takes more space.
        #[test]
        fn a_part_of_the_components_fits(compacted: bool, all in 0u64..1 << 20, part: u64) {
            let format = if compacted { Format::Compacted } else { Format::Standard };
            let capacities = capacities_in(format, ALL);
            let capacity = capacities.with(Xfeatures::from_bits(all));
            let part = Xfeatures::from_bits(part) & capacity.xfeatures();
            prop_assert!(capacities.layout().size(part, format) <= capacity.kernel_size());
            prop_assert!(capacities.layout().size(part & ALL, Format::Standard) <= capacity.user_size());
        }
    }
}
