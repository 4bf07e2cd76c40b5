// SPDX-License-Identifier: GPL-2.0
//! A virtual CPU, as changed by the hypervisor and its guest.

use super::fpstate::Buffer;
use super::{DEFAULT, TILES, USER};
use xstate::buffer;
use xstate::capacity::Capacities;
use xstate::guest::{self, Enabling, XfdUpdate};
use xstate::layout::Layout;
use xstate::xfeature::Xfeatures;

/// A virtual CPU: its enabled components, its buffer, and XSTATE_BV of the saved image.
#[derive(Clone, Copy)]
pub struct Vcpu {
    enabled: Xfeatures,
    buffer: Buffer,
    image: Xfeatures,
}

impl Vcpu {
    /// A virtual CPU with what every guest has.
    pub fn new(capacities: &Capacities) -> Self {
        Vcpu {
            enabled: DEFAULT & USER,
            buffer: Buffer::small(capacities, Xfeatures::NONE),
            image: Xfeatures::NONE,
        }
    }

    /// KVM_SET_CPUID2, with tiles or without.
    pub fn set_cpuid(&mut self, value: u8, permitted: Xfeatures, capacities: &Capacities) {
        let requested = if value & 1 == 0 { USER } else { DEFAULT & USER };
        match guest::enable(requested, self.enabled, permitted) {
            Enabling::Kept => assert!((requested & TILES & !self.enabled).is_empty()),
            Enabling::Refused => assert!(!permitted.contains(TILES)),
            Enabling::Enlarge(more) => {
                assert_eq!(more, TILES);
                let old = self.buffer.masks;
                let all = old.xfeatures | permitted;
                let capacity = capacities.with(all);
                self.buffer.masks =
                    buffer::enlarged_for_guest(old, more, &capacity).expect("enough capacity");
                (self.buffer.bytes, self.buffer.user_bytes) =
                    (capacity.kernel_size(), capacity.user_size());
                self.enabled = self.enabled | more;
            }
        }
    }

    /// KVM_SET_XSAVE with everything that the guest may have, then a write to its IA32_XFD.
    pub fn write_xfd(&mut self, value: u8) {
        self.image = self.enabled & !self.buffer.masks.xfd;
        let xfd = if value & 1 == 0 {
            self.enabled & TILES
        } else {
            Xfeatures::NONE
        };
        let update = guest::update_xfd(xfd, value & 2 != 0, value & 4 != 0);
        self.buffer.masks.xfd = xfd;
        match update {
            // The next save leaves out what is disabled.
            XfdUpdate::InRegisters => self.image = self.image & !xfd,
            XfdUpdate::InMemory { drop } => self.image = self.image & !drop,
        }
        assert!((self.image & xfd).is_empty(), "#NM in the host");
    }

    /// Checks the invariants. `permitted` is the guest permission of its process.
    pub fn check(&self, permitted: Xfeatures, layout: &Layout) {
        let masks = self.buffer.masks;
        assert!(
            permitted.contains(masks.xfeatures),
            "more than is permitted"
        );
        assert!(
            masks.xfeatures.contains(self.enabled),
            "enabled without space"
        );
        assert!(masks.xfeatures.contains(self.image), "saved without space");
        self.buffer.check(layout);
    }
}
