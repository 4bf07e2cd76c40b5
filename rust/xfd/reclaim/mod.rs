// SPDX-License-Identifier: GPL-2.0
//! Enlarged buffers that tasks do not need, taken back.

pub(crate) mod pass;
pub(crate) mod regrow;
pub(crate) mod shrink;
