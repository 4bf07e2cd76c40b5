// SPDX-License-Identifier: GPL-2.0
//! How a history's bytes are interpreted.

use xstate::layout::{Component, Format, Layout, FIXED_REGION};

/// Mostly 18, but any number is possible.
pub fn idx(value: u8) -> u64 {
    match value {
        0..=127 => 18,
        128..=191 => u64::from(value - 128),
        _ => u64::MAX << (value - 192),
    }
}

/// Mostly 1 << 18, but any value is possible.
pub fn xfd_err(value: u8) -> u64 {
    match value {
        0..=127 => 1 << 18,
        _ => 1 << (value & 63) | u64::from(value & 64) << 12,
    }
}

/// Sizes and alignments that CPUID could report, with the offsets that the standard format needs.
pub fn layout(format: u8, next: &mut impl FnMut() -> Option<u8>) -> Layout {
    let kernel = if format & 1 == 0 {
        Format::Compacted
    } else {
        Format::Standard
    };
    let mut components = [Component::default(); 20];
    let mut end = FIXED_REGION;
    for component in &mut components[2..] {
        let byte = u32::from(next().unwrap_or(0));
        let size = 8 * (byte >> 1);
        let aligned64 = byte & 1 != 0;
        *component = Component {
            size,
            offset: end.next_multiple_of(64),
            aligned64,
        };
        end = component.offset + size;
    }
    Layout::new(kernel, |i| components[i as usize])
}
