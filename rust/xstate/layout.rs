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

/// The machine's components and the format the kernel keeps its buffers in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    components: [Component; MAX],
    kernel_format: Format,
    /// Sizes that were computed once and are asked for again and again.
    known: [Option<Known>; 2],
}

/// Bytes of an area with `xfeatures` in `format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    xfeatures: Xfeatures,
    format: Format,
    size: u32,
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
            known: [None; 2],
        }
    }

    /// The same, with the sizes of areas with `kernel` in the kernel's format and `user` in the
    /// standard format computed beforehand.
    pub fn with_known(mut self, kernel: Xfeatures, user: Xfeatures) -> Self {
        let asked = [(kernel, self.kernel_format), (user, Format::Standard)];
        self.known = asked.map(|(xfeatures, format)| {
            let size = self.computed(xfeatures, format);
            Some(Known {
                xfeatures,
                format,
                size,
            })
        });
        self
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
        let mut known = self.known.iter().flatten();
        match known.find(|known| known.xfeatures == xfeatures && known.format == format) {
            Some(known) => known.size,
            None => self.computed(xfeatures, format),
        }
    }

    fn computed(&self, xfeatures: Xfeatures, format: Format) -> u32 {
        xfeatures
            .extended()
            .filter_map(|f| self.get(f))
            .fold(FIXED_REGION, |end, c| match format {
                Format::Standard => end.max(c.offset + c.size),
                Format::Compacted if c.aligned64 => end.next_multiple_of(64) + c.size,
                Format::Compacted => end + c.size,
            })
    }

    /// How to bring a register image from a buffer with room for `from` into one with room for
    /// `to`: the regions that both have, lowest first.
    pub fn moves(&self, from: Xfeatures, to: Xfeatures) -> impl Iterator<Item = Move> + '_ {
        let fixed = Move {
            from: 0,
            to: 0,
            bytes: FIXED_REGION,
        };
        let components = (from & to).extended().filter_map(move |f| {
            let bytes = self.get(f)?.size;
            Some(Move {
                from: self.offset(f, from),
                to: self.offset(f, to),
                bytes,
            })
        });
        core::iter::once(fixed).chain(components)
    }

    /// Bytes from the start of an area of the kernel's with `xfeatures` to the component
    /// `xfeature`, which is one of them.
    fn offset(&self, xfeature: Xfeature, xfeatures: Xfeatures) -> u32 {
        let component = self.components[xfeature.nr() as usize];
        let end = self.size(xfeatures & xfeature.and_below(), self.kernel_format);
        match self.kernel_format {
            Format::Standard => component.offset,
            Format::Compacted => end - component.size,
        }
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
            .moves(small | Xfeatures::USER_DYNAMIC, small)
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
        let tiledata = layout.moves(from, to).last().unwrap();
        assert_eq!(tiledata.from - tiledata.to, 64 + 512 + 1024);
        assert_eq!(tiledata.bytes, 8192);
    }

    #[test]
    fn nothing_moves_in_the_standard_format() {
        let layout = sapphire_rapids_in(Format::Standard);
        let (from, to) = (Xfeatures::from_bits(0x602e7), Xfeatures::from_bits(0x60207));
        let tiledata = layout.moves(from, to).last().unwrap();
        assert_eq!(
            (tiledata.from, tiledata.to, tiledata.bytes),
            (2816, 2816, 8192)
        );
    }

    #[test]
    fn known_sizes_are_those_computed() {
        let plain = sapphire_rapids();
        let known = plain.with_known(Xfeatures::from_bits(0x61ae7), Xfeatures::from_bits(0x602e7));
        for bits in [0x61ae7, 0x602e7, 0x202e7, 0] {
            for format in [Format::Standard, Format::Compacted] {
                let xfeatures = Xfeatures::from_bits(bits);
                assert_eq!(known.size(xfeatures, format), plain.size(xfeatures, format));
            }
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
