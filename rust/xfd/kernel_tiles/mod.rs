// SPDX-License-Identifier: GPL-2.0
//! Tiles for kernel code.

mod section;
