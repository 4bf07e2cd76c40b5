// SPDX-License-Identifier: GPL-2.0
//! Where each component lies in an XSAVE area, and how large an area is.
//!
//! Both formats (SDM vol. 1, 13.4): standard, with fixed offsets, for user space; compacted,
//! components one behind the other, for the kernel's own buffers.

use super::xfeature::{self, Xfeature, Xfeatures};

/// Bytes of the legacy region (512) and the XSAVE header (64), present in every area.
pub const FIXED_REGION: u32 = 512 + 64;

/// The bit of XCOMP_BV that says "compacted" (SDM vol. 1, 13.4.2).
pub const XCOMP_BV_COMPACTED: u64 = 1 << 63;

const MAX: usize = xfeature::XFEATURE_MAX as usize;

/// Layout of an XSAVE area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Fixed offsets: XSAVE, signal frames, ptrace.
    Standard,
    /// Components of the mask one behind the other: XSAVEC, XSAVES.
    Compacted,
}

/// One component as CPUID.(EAX=0DH,ECX=i) reports it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Component {
    /// Bytes (EAX).
    pub size: u32,
    /// Bytes from the start of the area in the standard format (EBX); 0 for supervisor ones.
    pub offset: u32,
    /// Begins on a 64-byte boundary in the compacted format (ECX[1]).
    pub aligned64: bool,
}

impl Component {
    /// Where it begins behind `end`, the end of the one before it.
    fn begin(&self, end: u32, format: Format) -> u32 {
        match format {
            Format::Standard => self.offset,
            Format::Compacted if self.aligned64 => end.next_multiple_of(64),
            Format::Compacted => end,
        }
    }
}

/// The machine's components and the format the kernel keeps its buffers in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    components: [Component; MAX],
    kernel_format: Format,
}

/// A part of a register image that goes from one buffer to another; bytes from their starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Where it is.
    pub from: u32,
    /// Where it goes.
    pub to: u32,
    /// Its length.
    pub bytes: u32,
}

impl Layout {
    /// From the CPU's report: `component(i)` answers for component `i`, 2 and up.
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

    /// Bytes of an area with `xfeatures` in `format`; at least [`FIXED_REGION`].
    ///
    /// The same answer as `xstate_calculate_size()`, arch/x86/kernel/fpu/xstate.c:590: bits that
    /// name no component Linux knows take no room.
    pub fn size(&self, xfeatures: Xfeatures, format: Format) -> u32 {
        xfeatures
            .extended()
            .filter_map(|f| self.get(f))
            .fold(FIXED_REGION, |end, c| {
                end.max(c.begin(end, format) + c.size)
            })
    }

    /// How to bring a register image from a buffer with room for `from` into one with room for
    /// `to`: the fixed region and those components of `in_use` that both have, lowest first. The others
    /// are in their initial state, and nobody reads where they lie.
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

    /// CPUID leaf 0DH of a Sapphire Rapids, with CET and PASID.
    pub(crate) fn sapphire_rapids() -> Layout {
        sapphire_rapids_in(Format::Compacted)
    }

    /// The same, with a kernel that keeps its buffers in `format`.
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
    fn a_small_buffer_takes_what_it_has_room_for() {
        let layout = sapphire_rapids();
        let small = Xfeatures::from_bits(0x20ae7);
        let moves: std::vec::Vec<_> = layout
            .moves(small | Xfeatures::USER_DYNAMIC, small, small)
            .collect();
        assert_eq!(moves.len(), 1 + small.extended().count());
        // Tile data is the last: everything else lies where it lay.
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
        /// A component ends where an area with it and those below it ends, in either image.
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
        // YMM, opmask, ZMM_Hi256, Hi16_ZMM: 576+256+64+512+1024 = 2432; PKRU 8 -> 2440;
        // TILECFG aligned to 2496, ends at 2560; TILEDATA behind it.
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
        // As above to PKRU, which ends at 2440; PASID and CET_U, 8 and 16, follow at once.
        assert_eq!(l.size(Xfeatures::from_bits(0xee7), Format::Compacted), 2464);
    }

    #[test]
    fn the_format_is_the_highest_bit_of_xcomp_bv() {
        assert_eq!(XCOMP_BV_COMPACTED, 0x8000_0000_0000_0000);
    }

    #[test]
    fn the_guest_lock_takes_no_room() {
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
