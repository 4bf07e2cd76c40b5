// SPDX-License-Identifier: GPL-2.0
//! Where each component lies in an XSAVE area, and how large an area is.
//!
//! Both formats (SDM vol. 1, 13.4): standard, with fixed offsets, for user space; compacted,
//! components one behind the other, for the kernel's own buffers.

use super::xfeature::{Xfeature, Xfeatures};

/// Bytes of the legacy region (512) and the XSAVE header (64), present in every area.
pub const FIXED_REGION: u32 = 512 + 64;

/// The bit of XCOMP_BV that says "compacted" (SDM vol. 1, 13.4.2).
pub const XCOMP_BV_COMPACTED: u64 = 1 << 63;

const MAX: usize = super::permission::XFEATURE_MAX as usize;

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
            .fold(FIXED_REGION, |end, c| match format {
                Format::Standard => end.max(c.offset + c.size),
                Format::Compacted if c.aligned64 => end.next_multiple_of(64) + c.size,
                Format::Compacted => end + c.size,
            })
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
        Layout::new(Format::Compacted, |i| {
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
