// SPDX-License-Identifier: GPL-2.0
//! Nobody waits for the tasks in this code, because it is not unloaded. So they are not counted.

/// See seam/counted.rs.
pub(crate) struct Counted(());

impl Counted {
    #[inline(always)]
    pub(crate) fn enter() -> Self {
        Self(())
    }
}

#[inline(always)]
pub(crate) fn leave() {}
