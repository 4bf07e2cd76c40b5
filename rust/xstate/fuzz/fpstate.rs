// SPDX-License-Identifier: GPL-2.0
//! A buffer of a thread or a virtual CPU, and what must be true of each.

use super::{DEFAULT, USER};
use xstate::buffer::{self, Masks};
use xstate::layout::{Format, Layout};
use xstate::capacity::{Room, Rooms};
use xstate::xfeature::Xfeatures;

/// A buffer: what it says, and the bytes that were allocated for it.
#[derive(Clone, Copy)]
pub struct Buffer {
    pub masks: Masks,
    pub bytes: u32,
    pub user_bytes: u32,
}

impl Buffer {
    /// The buffer without dynamic components, with `xfd` armed.
    pub fn small(rooms: &Rooms, xfd: Xfeatures) -> Self {
        let room = rooms.with(DEFAULT);
        Self {
            masks: Masks {
                xfeatures: DEFAULT,
                user_xfeatures: DEFAULT & USER,
                xfd,
            },
            bytes: room.kernel_size(),
            user_bytes: room.user_size(),
        }
    }

    /// One with `room` takes over.
    pub fn enlarge(&mut self, used: Xfeatures, room: &Room) {
        self.masks = buffer::commit(self.masks, used, room).expect("room");
        (self.bytes, self.user_bytes) = (room.kernel_size(), room.user_size());
    }

    /// A save writes the components of `xfeatures`, and nothing behind the buffer's end.
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
