// SPDX-License-Identifier: GPL-2.0
//! The buffer of a thread or a virtual CPU, and what must be true of it.

use super::{DEFAULT, USER};
use xstate::buffer::{self, Masks};
use xstate::capacity::{Capacities, Capacity};
use xstate::layout::{Format, Layout};
use xstate::xfeature::Xfeatures;

/// A buffer: its masks, and the number of bytes allocated for it.
#[derive(Clone, Copy)]
pub struct Buffer {
    pub masks: Masks,
    pub bytes: u32,
    pub user_bytes: u32,
}

impl Buffer {
    /// The buffer without dynamic components, with `xfd` armed.
    pub fn small(capacities: &Capacities, xfd: Xfeatures) -> Self {
        let capacity = capacities.with(DEFAULT);
        Self {
            masks: Masks {
                xfeatures: DEFAULT,
                user_xfeatures: DEFAULT & USER,
                xfd,
            },
            bytes: capacity.kernel_size(),
            user_bytes: capacity.user_size(),
        }
    }

    /// Replaces it with a buffer of `capacity`.
    pub fn enlarge(&mut self, used: Xfeatures, capacity: &Capacity) {
        self.masks = buffer::commit(self.masks, used, capacity).expect("enough capacity");
        (self.bytes, self.user_bytes) = (capacity.kernel_size(), capacity.user_size());
    }

    /// Checks that saving `xfeatures` does not write past the end of the buffer.
    pub fn check(&self, layout: &Layout) {
        let masks = self.masks;
        assert!(masks.xfeatures.contains(masks.user_xfeatures));
        let saved = layout.size(masks.xfeatures, layout.kernel_format());
        assert!(
            saved <= self.bytes,
            "{saved} bytes are saved into {}",
            self.bytes
        );
        let shown = layout.size(masks.user_xfeatures, Format::Standard);
        assert!(
            shown <= self.user_bytes,
            "{shown} bytes in a frame of {}",
            self.user_bytes
        );
    }
}
