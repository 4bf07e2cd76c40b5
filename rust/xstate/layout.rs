// SPDX-License-Identifier: GPL-2.0
//! Where each component lies in an XSAVE area, and how large an area is.
//!
//! There are two formats (SDM vol. 1, 13.4). User space sees the standard format, with fixed
//! offsets. The kernel's own buffers use the compacted format, without gaps between components, if
//! the CPU supports it.

use super::xfeature::{self, Xfeature, Xfeatures};

/// Size in bytes of the legacy region (512) and the XSAVE header (64), which every area has.
pub const FIXED_REGION: u32 = 512 + 64;

/// The bit of XCOMP_BV that selects the compacted format (SDM vol. 1, 13.4.2).
pub const XCOMP_BV_COMPACTED: u64 = 1 << 63;

const MAX: usize = xfeature::XFEATURE_MAX as usize;

/// The format of an XSAVE area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Fixed offsets: XSAVE, signal frames, ptrace.
    Standard,
    /// The components in the mask follow each other: XSAVEC, XSAVES.
    Compacted,
}

/// A component, as described by CPUID.(EAX=0DH,ECX=i).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Component {
    /// Size in bytes (EAX).
    pub size: u32,
    /// Offset in bytes in the standard format (EBX). 0 for a supervisor component.
    pub offset: u32,
    /// Whether it is aligned to 64 bytes in the compacted format (bit 1 of ECX).
    pub aligned64: bool,
}

impl Component {
    /// The offset at which it begins if the preceding component ends at `end`.
    fn begin(&self, end: u32, format: Format) -> u32 {
        match format {
            Format::Standard => self.offset,
            Format::Compacted if self.aligned64 => end.next_multiple_of(64),
            Format::Compacted => end,
        }
    }
}

/// This machine's components, and the format of the kernel's own buffers.
///
/// ```
/// use xstate::layout::{Component, Format, Layout};
/// use xstate::xfeature::Xfeatures;
///
/// let layout = Layout::new(Format::Compacted, |i| match i {
///     2 => Component { size: 256, offset: 576, aligned64: false },
///     18 => Component { size: 8192, offset: 2816, aligned64: true },
///     _ => Component::default(),
/// });
/// let tiles = Xfeatures::from_bits(0x40003);
/// assert_eq!(layout.size(tiles, Format::Standard), 2816 + 8192);
/// assert_eq!(layout.size(tiles, Format::Compacted), 576 + 8192);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    components: [Component; MAX],
    kernel_format: Format,
}

/// A part of a register image that is copied to another buffer. Offsets are relative to the start
/// of the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Offset in bytes in the old image.
    pub from: u32,
    /// Offset in bytes in the new image.
    pub to: u32,
    /// Length in bytes.
    pub bytes: u32,
}

impl Layout {
    /// A layout from CPUID. `component(i)` returns what CPUID reports about component `i`, which is
    /// 2 or higher.
    pub fn new(kernel_format: Format, component: impl Fn(u32) -> Component) -> Self {
        let mut components = [Component::default(); MAX];
        for (i, slot) in components.iter_mut().enumerate().skip(2) {
            *slot = component(i as u32);
        }
        Self {
            components,
            kernel_format,
        }
    }

    /// The format of the kernel's own buffers.
    pub fn kernel_format(&self) -> Format {
        self.kernel_format
    }

    /// Size in bytes of an area with `xfeatures` in `format`, at least [`FIXED_REGION`].
    ///
    /// Returns the same as `xstate_calculate_size()`, arch/x86/kernel/fpu/xstate.c:590. Bits that
    /// are not components known to Linux take no space.
    pub fn size(&self, xfeatures: Xfeatures, format: Format) -> u32 {
        xfeatures
            .extended()
            .filter_map(|f| self.get(f))
            .fold(FIXED_REGION, |end, c| {
                end.max(c.begin(end, format) + c.size)
            })
    }

    /// What to copy so that a register image in a buffer for `from` ends up in a buffer for `to`:
    /// the fixed region, and those components of `in_use` that both buffers have, in ascending
    /// order. The other components are in their initial state, so their space is never read.
    ///
    /// ```
    /// use xstate::layout::{Component, Format, Layout, Move};
    /// use xstate::xfeature::Xfeatures;
    ///
    /// let layout = Layout::new(Format::Compacted, |_| Component {
    ///     size: 64,
    ///     ..Component::default()
    /// });
    /// let [from, to] = [0b1100, 0b1000].map(Xfeatures::from_bits);
    /// let moves: Vec<Move> = layout.moves(from, to, from).collect();
    /// assert_eq!(moves[0], Move { from: 0, to: 0, bytes: 576 });
    /// assert_eq!(moves[1], Move { from: 640, to: 576, bytes: 64 });
    /// assert_eq!(moves.len(), 2);
    /// ```
    pub fn moves(
        &self,
        from: Xfeatures,
        to: Xfeatures,
        in_use: Xfeatures,
    ) -> impl Iterator<Item = Move> + '_ {
        let fixed = Move {
            from: 0,
            to: 0,
            bytes: FIXED_REGION,
        };
        let moved = in_use & from & to;
        let last = moved.highest();
        let mut ends = (FIXED_REGION, FIXED_REGION);
        let components = (from | to)
            .extended()
            .take_while(move |&f| Some(f) <= last)
            .filter_map(move |f| {
                let component = self.get(f)?;
                let place = |has: Xfeatures, end: &mut u32| {
                    let begin = component.begin(*end, self.kernel_format);
                    if has.contains(f.mask()) {
                        *end = begin + component.size;
                    }
                    begin
                };
                let (from, to) = (place(from, &mut ends.0), place(to, &mut ends.1));
                moved.contains(f.mask()).then_some(Move {
                    from,
                    to,
                    bytes: component.size,
                })
            });
        core::iter::once(fixed).chain(components)
    }

    fn get(&self, xfeature: Xfeature) -> Option<&Component> {
        self.components.get(xfeature.nr() as usize)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// CPUID leaf 0DH of a Sapphire Rapids with CET and PASID.
    pub(crate) fn sapphire_rapids() -> Layout {
        sapphire_rapids_in(Format::Compacted)
    }

    /// The same machine with a kernel that keeps its buffers in `format`.
    pub(crate) fn sapphire_rapids_in(format: Format) -> Layout {
        Layout::new(format, |i| {
            let (size, offset, aligned64) = match i {
                2 => (256, 576, false),
                5 => (64, 1088, false),
                6 => (512, 1152, false),
                7 => (1024, 1664, false),
                8 => (128, 0, false),
                9 => (8, 2688, false),
                10 => (8, 0, false),
                11 => (16, 0, false),
                12 => (24, 0, false),
                17 => (64, 2752, true),
                18 => (8192, 2816, true),
                _ => (0, 0, false),
            };
            Component {
                size,
                offset,
                aligned64,
            }
        })
    }

    #[test]
    fn a_small_buffer_takes_what_fits() {
        let layout = sapphire_rapids();
        let small = Xfeatures::from_bits(0x20ae7);
        let moves: std::vec::Vec<_> = layout
            .moves(small | Xfeatures::USER_DYNAMIC, small, small)
            .collect();
        assert_eq!(moves.len(), 1 + small.extended().count());
        // Tile data comes last, so everything else keeps its offset.
        assert!(moves.iter().all(|m| m.from == m.to));
        let tilecfg = moves.last().unwrap();
        assert_eq!(
            (tilecfg.bytes, tilecfg.to + 64),
            (64, layout.size(small, Format::Compacted))
        );
    }

    #[test]
    fn components_above_the_missing_one_move_down() {
        let layout = sapphire_rapids();
        let (from, to) = (Xfeatures::from_bits(0x602e7), Xfeatures::from_bits(0x60207));
        let tiledata = layout.moves(from, to, from).last().unwrap();
        assert_eq!(tiledata.from - tiledata.to, 64 + 512 + 1024);
        assert_eq!(tiledata.bytes, 8192);
    }

    #[test]
    fn nothing_moves_in_the_standard_format() {
        let layout = sapphire_rapids_in(Format::Standard);
        let (from, to) = (Xfeatures::from_bits(0x602e7), Xfeatures::from_bits(0x60207));
        let tiledata = layout.moves(from, to, from).last().unwrap();
        assert_eq!(
            (tiledata.from, tiledata.to, tiledata.bytes),
            (2816, 2816, 8192)
        );
    }

    proptest! {
        /// In both images, a component ends where an area of it and all lower components ends.
        #[test]
        fn what_moves_is_where_the_sizes_say(
            compacted: bool,
            from in 0u64..1 << 20,
            to in 0u64..1 << 20,
            in_use: u64,
        ) {
            let format = if compacted { Format::Compacted } else { Format::Standard };
            let layout = sapphire_rapids_in(format);
            let has = |xfeatures: u64, f: Xfeature| xfeatures & f.mask().bits() != 0;
            let place = |xfeatures: u64, f: Xfeature| {
                let component = layout.get(f).unwrap();
                let below = Xfeatures::from_bits(xfeatures & ((f.mask().bits() << 1) - 1));
                match format {
                    Format::Standard => component.offset,
                    Format::Compacted => layout.size(below, format) - component.size,
                }
            };
            let expected = (2..20)
                .filter_map(Xfeature::new)
                .filter(|&f| has(from & to & in_use, f))
                .map(|f| (place(from, f), place(to, f), layout.get(f).unwrap().size));
            let [all, other, in_use] = [from, to, in_use].map(Xfeatures::from_bits);
            let moves = layout.moves(all, other, in_use);
            let moved = moves.skip(1).map(|m| (m.from, m.to, m.bytes));
            prop_assert!(expected.eq(moved));
        }
    }

    #[test]
    fn standard_sizes_of_silicon() {
        let l = sapphire_rapids();
        assert_eq!(l.size(Xfeatures::from_bits(0x3), Format::Standard), 576);
        assert_eq!(
            l.size(Xfeatures::from_bits(0x200e7), Format::Standard),
            2816
        );
        assert_eq!(
            l.size(Xfeatures::from_bits(0x600e7), Format::Standard),
            11008
        );
    }

    #[test]
    fn compacted_alignment_is_kept() {
        let l = sapphire_rapids();
        // YMM, opmask, ZMM_Hi256, Hi16_ZMM: 576+256+64+512+1024 = 2432. PKRU adds 8: 2440.
        // TILECFG is aligned to 2496 and ends at 2560. TILEDATA follows.
        assert_eq!(
            l.size(Xfeatures::from_bits(0x202e7), Format::Compacted),
            2560
        );
        assert_eq!(
            l.size(Xfeatures::from_bits(0x602e7), Format::Compacted),
            10752
        );
    }

    #[test]
    fn only_components_that_ask_for_it_are_aligned() {
        let l = sapphire_rapids();
        // As above up to PKRU, which ends at 2440. PASID (8) and CET_U (16) follow without a gap.
        assert_eq!(l.size(Xfeatures::from_bits(0xee7), Format::Compacted), 2464);
    }

    #[test]
    fn the_format_is_the_highest_bit_of_xcomp_bv() {
        assert_eq!(XCOMP_BV_COMPACTED, 0x8000_0000_0000_0000);
    }

    #[test]
    fn the_guest_lock_takes_no_space() {
        let l = sapphire_rapids();
        let with_lock = Xfeatures::from_bits(1 << 63 | 0x202e7);
        assert_eq!(l.size(with_lock, Format::Compacted), 2560);
    }

    proptest! {
        #[test]
        fn a_larger_mask_never_takes_less(a in 0u64..1 << 20, b in 0u64..1 << 20) {
            let l = sapphire_rapids();
            for format in [Format::Standard, Format::Compacted] {
                let small = l.size(Xfeatures::from_bits(a), format);
                let large = l.size(Xfeatures::from_bits(a | b), format);
                prop_assert!(small <= large);
            }
        }
    }
}
