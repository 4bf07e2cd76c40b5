// SPDX-License-Identifier: GPL-2.0
//! The calling thread's eight tile registers, and the inline assembly that accesses them.
#![expect(unsafe_code, reason = "tile instructions")]

use crate::sys;
use std::arch::asm;
use std::marker::PhantomData;

/// The number of tile registers.
pub const TILES: usize = 8;
/// Rows of a full-size tile.
pub const ROWS: usize = 16;
/// Bytes in a row of a full-size tile.
pub const ROW_BYTES: usize = 64;
/// Bytes in a full-size tile.
pub const TILE_BYTES: usize = ROWS * ROW_BYTES;

/// The contents of one tile in memory, row by row.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Tile(pub [u8; TILE_BYTES]);

impl Tile {
    /// A tile of zeros.
    pub const ZERO: Tile = Tile([0; TILE_BYTES]);
}

/// Contents for all tiles, unique to this number; the first eight bytes are the number itself.
#[must_use]
pub fn content(number: u64) -> [Tile; TILES] {
    let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut content = [Tile::ZERO; TILES];
    for word in content
        .iter_mut()
        .flat_map(|tile| tile.0.chunks_exact_mut(8))
    {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        word.copy_from_slice(&x.to_le_bytes());
    }
    content[0].0[..8].copy_from_slice(&number.to_le_bytes());
    content
}

/// The first difference between two sets of contents: tile, byte, and the byte's two values.
#[must_use]
pub fn first_difference(a: &[Tile; TILES], b: &[Tile; TILES]) -> Option<(usize, usize, u8, u8)> {
    // Compares whole tiles first, which is one memcmp each.
    a.iter()
        .zip(b)
        .enumerate()
        .filter(|(_, (a, b))| a != b)
        .find_map(|(tile, (a, b))| {
            let byte = a.0.iter().zip(&b.0).position(|(a, b)| a != b)?;
            Some((tile, byte, a.0[byte], b.0[byte]))
        })
}

/// Expects the contents for `number`.
///
/// # Errors
///
/// The first difference.
pub fn expect(is: &[Tile; TILES], number: u64) -> anyhow::Result<()> {
    let difference = first_difference(is, &content(number));
    anyhow::ensure!(
        difference.is_none(),
        "content {number}: tile, byte, is, was: {difference:?}"
    );
    Ok(())
}

/// Whether the calling thread's tiles are configured (STTILECFG: the palette is not 0).
#[must_use]
pub fn configured() -> bool {
    let mut config = [0xff_u64; 8];
    // SAFETY: writes exactly the 64 bytes of `config`.
    unsafe { asm!("sttilecfg [{}]", in(reg) &raw mut config, options(nostack)) };
    config[0] & 0xff != 0
}

/// The 64 bytes that LDTILECFG reads (SDM vol. 1, 18.3).
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Access to the calling thread's tiles: all are configured at full size from [`Tiles::configure`]
/// until this is dropped. Cannot be moved to another thread.
///
/// Without the kernel's permission, the first method that touches tile data dies of SIGILL.
pub struct Tiles(PhantomData<*const ()>);

impl Tiles {
    /// Configures the tiles, which does not touch tile data and so needs no permission.
    #[must_use]
    pub fn configure() -> Self {
        let mut config = Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        config.row_bytes[..TILES].fill(ROW_BYTES as u16);
        config.rows[..TILES].fill(ROWS as u8);
        // SAFETY: reads the 64 bytes of `config`, which is all it has; writes tile registers
        // only, which the compiler does not use.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
        Tiles(PhantomData)
    }

    /// The tiles if already configured, as in a child after fork; otherwise `None`.
    #[must_use]
    pub fn inherited() -> Option<Self> {
        configured().then_some(Tiles(PhantomData))
    }

    /// TILEZERO: clears tile `N`.
    pub fn zero<const N: u8>(&mut self) {
        // SAFETY: writes a tile register only, which the compiler does not use.
        unsafe { asm!("tilezero tmm{n}", n = const N, options(nostack, nomem)) };
    }

    /// TILELOADD: loads tile `N`.
    pub fn load<const N: u8>(&mut self, from: &Tile) {
        // SAFETY: the tile has 16 rows of 64 bytes, so with a stride of 64 this reads exactly
        // the 1,024 bytes of `from`.
        unsafe {
            asm!("tileloadd tmm{n}, [{from} + {stride}]", n = const N, from = in(reg) from,
                 stride = in(reg) ROW_BYTES, options(nostack, readonly));
        }
    }

    /// TILESTORED: stores tile `N`.
    pub fn store<const N: u8>(&mut self, to: &mut Tile) {
        // SAFETY: as in `load`, this writes exactly the 1,024 bytes of `to`, borrowed for it.
        unsafe {
            asm!("tilestored [{to} + {stride}], tmm{n}", n = const N, to = in(reg) to,
                 stride = in(reg) ROW_BYTES, options(nostack));
        }
    }

    /// TDPBSSD: adds to tile `C`, 16 × 16 of i32, the product of `A`, 16 × 64 of i8, and `B`.
    pub fn add_product_i8<const C: u8, const A: u8, const B: u8>(&mut self) {
        // SAFETY: reads and writes tile registers only, which the compiler does not use.
        unsafe {
            asm!("tdpbssd tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                 options(nostack, nomem));
        }
    }

    /// TDPBF16PS: adds to tile `C`, 16 × 16 of f32, the product of `A`, 16 × 32 of bf16, and `B`.
    pub fn add_product_bf16<const C: u8, const A: u8, const B: u8>(&mut self) {
        // SAFETY: reads and writes tile registers only, which the compiler does not use.
        unsafe {
            asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                 options(nostack, nomem));
        }
    }

    /// Loads all eight tiles.
    pub fn load_all(&mut self, from: &[Tile; TILES]) {
        self.load::<0>(&from[0]);
        self.load::<1>(&from[1]);
        self.load::<2>(&from[2]);
        self.load::<3>(&from[3]);
        self.load::<4>(&from[4]);
        self.load::<5>(&from[5]);
        self.load::<6>(&from[6]);
        self.load::<7>(&from[7]);
    }

    /// Stores all eight tiles.
    #[must_use]
    pub fn store_all(&mut self) -> [Tile; TILES] {
        let mut to = [Tile([0xa5; TILE_BYTES]); TILES];
        self.store::<0>(&mut to[0]);
        self.store::<1>(&mut to[1]);
        self.store::<2>(&mut to[2]);
        self.store::<3>(&mut to[3]);
        self.store::<4>(&mut to[4]);
        self.store::<5>(&mut to[5]);
        self.store::<6>(&mut to[6]);
        self.store::<7>(&mut to[7]);
        to
    }
}

impl Drop for Tiles {
    /// TILERELEASE: back to the initial state, so that the kernel has nothing to save.
    fn drop(&mut self) {
        // SAFETY: writes tile registers only, which the compiler does not use.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// The components not in their initial state: XGETBV with ECX = 1 (SDM vol. 1, 13.2).
#[must_use]
pub fn in_use() -> u64 {
    // SAFETY: a machine with AMX has XGETBV with ECX = 1.
    unsafe { sys::xgetbv(1) }
}
