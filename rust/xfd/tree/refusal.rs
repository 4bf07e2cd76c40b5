// SPDX-License-Identifier: GPL-2.0
//! Why the C code stays in charge: one line in the kernel log.

use kernel::prelude::*;

/// A reason to leave everything to the C code.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// There is no dynamic user component on this machine. This is not logged.
    NoDynamicXfeature,
    /// The C code uses other sizes than those computed here.
    OtherLayout {
        /// The size in bytes of the C code.
        kernel: u32,
        /// The size in bytes that was computed here.
        ours: u32,
    },
    /// `struct fpu` is not where this build expects it.
    OtherTaskLayout,
    /// There is no memory for the pool.
    NoMemory,
}

impl Refusal {
    /// Logs the reason in one line.
    pub(crate) fn report(self) {
        match self {
            Self::NoDynamicXfeature => (),
            Self::OtherLayout { kernel, ours } => {
                pr_err!("the C code stays in charge: its xstate takes {} bytes, computed {}; this is a bug of this kernel\n", kernel, ours);
            }
            Self::OtherTaskLayout => {
                pr_err!("the C code stays in charge: struct fpu is not where it was expected; this is a bug of this kernel\n");
            }
            Self::NoMemory => {
                pr_err!("the C code stays in charge: no memory for the pool; boot with more\n");
            }
        }
    }
}
