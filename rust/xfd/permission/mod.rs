// SPDX-License-Identifier: GPL-2.0
//! Permissions: where the kernel keeps them, and the arch_prctl options that request them.

pub(crate) mod group_perm;
pub(crate) mod prctl;
