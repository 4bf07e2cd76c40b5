// SPDX-License-Identifier: GPL-2.0
//! IA32_XFD of the CPU that runs all threads.

use xstate::arming;
use xstate::xfeature::Xfeatures;

/// A CPU's IA32_XFD, and the kernel's copy of it.
#[derive(Clone, Copy)]
pub struct Cpu {
    msr: Xfeatures,
    copy: Xfeatures,
}

impl Default for Cpu {
    fn default() -> Self {
        Cpu {
            msr: Xfeatures::NONE,
            copy: Xfeatures::NONE,
        }
    }
}

impl Cpu {
    /// Switches to a thread with this value.
    pub fn arm(&mut self, wanted: Xfeatures) {
        if let Some(value) = arming::write_needed(self.copy, wanted) {
            (self.msr, self.copy) = (value, value);
        }
        assert_eq!(self.msr, wanted);
    }

    /// Whether an instruction using these components executes without trapping.
    pub fn allows(&self, used: Xfeatures) -> bool {
        (self.msr & used).is_empty()
    }

    /// Checks that the register and the copy agree.
    pub fn check(&self) {
        assert_eq!(self.msr, self.copy);
    }
}
