// SPDX-License-Identifier: GPL-2.0
//! A product of two square matrices, on tiles and by plain arithmetic, for bytes and for bf16.
//!
//! The values are chosen so that every sum is exact in any order, so the two results must match bit
//! for bit.

use crate::tile::{Tile, Tiles, ROWS, ROW_BYTES};

/// Rows and columns of all matrices here: two blocks of two tiles in each direction.
pub const SIZE: usize = 64;

/// A matrix, row by row.
pub type Matrix<T> = Vec<[T; SIZE]>;

/// Parameters of the element types that the tile unit multiplies.
pub trait Element: Copy + Send + 'static {
    /// The type of the sums, four bytes.
    type Sum: Copy + PartialEq + Send + std::fmt::Debug;
    /// The size of an element in bytes; a four-byte group holds 4 / BYTES of them.
    const BYTES: usize;
    /// An element made from a random number.
    fn from_random(random: u64) -> Self;
    /// The element in memory, little-endian.
    fn bytes(self) -> [u8; 4];
    /// `sum` + `self` × `other`.
    fn add_product(self, other: Self, sum: Self::Sum) -> Self::Sum;
    /// The empty sum.
    fn zero() -> Self::Sum;
    /// The sum with these bytes.
    fn sum_from_bytes(bytes: [u8; 4]) -> Self::Sum;
    /// Tile `C` += tile `A` × tile `B`.
    fn tile_product<const C: u8, const A: u8, const B: u8>(tiles: &mut Tiles);
}

/// A signed byte; sums are i32.
#[derive(Clone, Copy)]
pub struct I8(i8);

impl Element for I8 {
    type Sum = i32;
    const BYTES: usize = 1;

    fn from_random(random: u64) -> Self {
        I8(random as i8)
    }

    fn bytes(self) -> [u8; 4] {
        [self.0 as u8, 0, 0, 0]
    }

    fn add_product(self, other: Self, sum: i32) -> i32 {
        sum + i32::from(self.0) * i32::from(other.0)
    }

    fn zero() -> i32 {
        0
    }

    fn sum_from_bytes(bytes: [u8; 4]) -> i32 {
        i32::from_le_bytes(bytes)
    }

    fn tile_product<const C: u8, const A: u8, const B: u8>(tiles: &mut Tiles) {
        tiles.add_product_i8::<C, A, B>();
    }
}

/// A bf16, the upper half of an f32; sums are f32. Values are multiples of 1/8 below 16, so that
/// the sum of 64 products needs at most 21 bits.
#[derive(Clone, Copy)]
pub struct Bf16(u16);

impl Bf16 {
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

impl Element for Bf16 {
    type Sum = f32;
    const BYTES: usize = 2;

    fn from_random(random: u64) -> Self {
        let value = f32::from(random as i8) / 8.0;
        Bf16((value.to_bits() >> 16) as u16)
    }

    fn bytes(self) -> [u8; 4] {
        let [low, high] = self.0.to_le_bytes();
        [low, high, 0, 0]
    }

    fn add_product(self, other: Self, sum: f32) -> f32 {
        sum + self.to_f32() * other.to_f32()
    }

    fn zero() -> f32 {
        0.0
    }

    fn sum_from_bytes(bytes: [u8; 4]) -> f32 {
        f32::from_le_bytes(bytes)
    }

    fn tile_product<const C: u8, const A: u8, const B: u8>(tiles: &mut Tiles) {
        tiles.add_product_bf16::<C, A, B>();
    }
}

/// A matrix of random elements, different for each seed.
#[must_use]
pub fn random<E: Element>(seed: u64) -> Matrix<E> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        E::from_random(state >> 24)
    };
    (0..SIZE).map(|_| std::array::from_fn(|_| next())).collect()
}

/// `a` × `b` by plain arithmetic.
#[must_use]
pub fn plain_product<E: Element>(a: &Matrix<E>, b: &Matrix<E>) -> Matrix<E::Sum> {
    let element = |row: &[E; SIZE], column: usize| {
        (0..SIZE).fold(E::zero(), |sum, k| row[k].add_product(b[k][column], sum))
    };
    a.iter()
        .map(|row| std::array::from_fn(|column| element(row, column)))
        .collect()
}

/// `a` × `b` on tiles. `between` runs between tile instructions while all eight tiles are live: the
/// place to be preempted or moved to another CPU.
#[must_use]
pub fn tile_product<E: Element>(
    a: &Matrix<E>,
    b: &Matrix<E>,
    mut between: impl FnMut(),
) -> Matrix<E::Sum> {
    let per_row = ROW_BYTES / E::BYTES;
    let mut product = vec![[E::zero(); SIZE]; SIZE];
    let mut tiles = Tiles::configure();
    for row in (0..SIZE).step_by(2 * ROWS) {
        for column in (0..SIZE).step_by(2 * ROWS) {
            // Tiles 0 to 3 are this block's four sums.
            tiles.zero::<0>();
            tiles.zero::<1>();
            tiles.zero::<2>();
            tiles.zero::<3>();
            for k in (0..SIZE).step_by(per_row) {
                tiles.load::<4>(&left_tile(a, row, k));
                tiles.load::<5>(&left_tile(a, row + ROWS, k));
                tiles.load::<6>(&right_tile(b, k, column));
                tiles.load::<7>(&right_tile(b, k, column + ROWS));
                between();
                E::tile_product::<0, 4, 6>(&mut tiles);
                E::tile_product::<1, 4, 7>(&mut tiles);
                between();
                E::tile_product::<2, 5, 6>(&mut tiles);
                E::tile_product::<3, 5, 7>(&mut tiles);
                between();
            }
            let mut sums = [Tile::ZERO, Tile::ZERO, Tile::ZERO, Tile::ZERO];
            tiles.store::<0>(&mut sums[0]);
            tiles.store::<1>(&mut sums[1]);
            tiles.store::<2>(&mut sums[2]);
            tiles.store::<3>(&mut sums[3]);
            for (number, sum) in sums.iter().enumerate() {
                put::<E>(
                    &mut product,
                    sum,
                    row + number / 2 * ROWS,
                    column + number % 2 * ROWS,
                );
            }
        }
    }
    product
}

/// A tile of left factors: 16 rows from `row`, and as many columns from `k` as fit in a row.
fn left_tile<E: Element>(a: &Matrix<E>, row: usize, k: usize) -> Tile {
    let mut tile = Tile::ZERO;
    for (r, bytes) in tile.0.chunks_exact_mut(ROW_BYTES).enumerate() {
        for (c, place) in bytes.chunks_exact_mut(E::BYTES).enumerate() {
            place.copy_from_slice(&a[row + r][k + c].bytes()[..E::BYTES]);
        }
    }
    tile
}

/// A tile of right factors in the TDP* layout: four bytes of one column side by side.
fn right_tile<E: Element>(b: &Matrix<E>, k: usize, column: usize) -> Tile {
    let group = 4 / E::BYTES;
    let mut tile = Tile::ZERO;
    for (r, bytes) in tile.0.chunks_exact_mut(ROW_BYTES).enumerate() {
        for (i, place) in bytes.chunks_exact_mut(E::BYTES).enumerate() {
            let element = b[k + r * group + i % group][column + i / group];
            place.copy_from_slice(&element.bytes()[..E::BYTES]);
        }
    }
    tile
}

/// Stores a tile of sums in its place in the product.
fn put<E: Element>(product: &mut Matrix<E::Sum>, sums: &Tile, row: usize, column: usize) {
    for (r, bytes) in sums.0.chunks_exact(ROW_BYTES).enumerate() {
        for (c, sum) in bytes.chunks_exact(4).enumerate() {
            product[row + r][column + c] = E::sum_from_bytes([sum[0], sum[1], sum[2], sum[3]]);
        }
    }
}

/// The number of correct elements in `product`.
#[must_use]
pub fn right_elements<S: PartialEq>(product: &Matrix<S>, expected: &Matrix<S>) -> usize {
    let pairs = product.iter().flatten().zip(expected.iter().flatten());
    pairs.filter(|(got, wanted)| got == wanted).count()
}
