// SPDX-License-Identifier: GPL-2.0
//! What the module reports about itself.

pub(crate) mod files;
pub(crate) mod stats;
pub(crate) mod trace;
