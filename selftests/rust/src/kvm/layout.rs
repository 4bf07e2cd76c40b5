// SPDX-License-Identifier: GPL-2.0
//! The layout of guest memory. Offsets in a block are relative to its start.

/// All guest memory, one 2 MiB page from address 0.
pub const MEMORY: usize = 2 << 20;
/// Memory whose pages are slow to arrive, in virtual machines that have some.
pub const SLOW: u64 = 1 << 30;
/// Page tables, one page each: PML4, PDPT, PD.
pub const TABLES: [u64; 3] = [0x1000, 0x2000, 0x3000];
/// The segment descriptors.
pub const GDT: u64 = 0x4000;
/// The interrupt descriptors.
pub const IDT: u64 = 0x5000;
/// The program.
pub const CODE: u64 = 0x8000;
/// The first vCPU's block.
pub const BLOCKS: u64 = 0x10000;
/// The size of a vCPU's block.
pub const BLOCK: u64 = 0x10000;
/// In a block: whether #NM is served.
pub const NM_SERVED: u64 = 0x00;
/// In a block: the number of #NMs.
pub const NM_COUNT: u64 = 0x08;
/// In a block: XFD_ERR from the last #NM served.
pub const NM_ERR: u64 = 0x10;
/// In a block: a nonzero value ends an [`super::guest::until_stopped`].
pub const STOP: u64 = 0x18;
/// In a block: total rounds across all loops.
pub const ROUNDS: u64 = 0x20;
/// In a block: how often [`super::guest::check`] found wrong tiles.
pub const WRONG: u64 = 0x28;
/// In a block: the operations.
pub const OPS: u64 = 0x1000;
/// In a block: how each operation ended.
pub const RESULTS: u64 = 0x2000;
/// In a block: the image for LDTILECFG.
pub const CONFIG: u64 = 0x4000;
/// In a block: what [`super::guest::load`] loads.
pub const LOADED: u64 = 0x6000;
/// In a block: what [`super::guest::check`] stored.
pub const STORED: u64 = 0x8000;
/// In a block: the area for [`super::guest::xsaves`] and [`super::guest::xrstors`].
pub const AREA: u64 = 0xa000;
