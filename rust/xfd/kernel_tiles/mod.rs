// SPDX-License-Identifier: GPL-2.0
//! Tile registers for kernel code.

mod section;
