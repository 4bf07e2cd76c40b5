// SPDX-License-Identifier: GPL-2.0
//! Permission: where the kernel keeps it, and the arch_prctl options that ask for it.

pub(crate) mod group_perm;
pub(crate) mod prctl;
