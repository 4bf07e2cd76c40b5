// SPDX-License-Identifier: GPL-2.0
//! A thread's work: a product, or tile contents, that must be correct whatever happens to the thread.

use crate::matrix::{self, Element, SIZE};
use crate::tile::{Tile, Tiles, TILES, TILE_BYTES};
use anyhow::{bail, ensure, Context};
use std::sync::Barrier;
use std::thread;

/// Multiplies two random matrices on tiles and by plain arithmetic, and compares. `between` runs
/// between tile instructions.
///
/// # Errors
///
/// An element is wrong, or `between` failed.
pub fn checked_product<E: Element>(
    seed: u64,
    mut between: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (a, b) = (
        matrix::random::<E>(2 * seed),
        matrix::random::<E>(2 * seed + 1),
    );
    let mut trouble = Ok(());
    let product = matrix::tile_product(&a, &b, || {
        if trouble.is_ok() {
            trouble = between();
        }
    });
    trouble?;
    let right = matrix::right_elements(&product, &matrix::plain_product(&a, &b));
    ensure!(
        right == SIZE * SIZE,
        "only {right} of {} elements are right",
        SIZE * SIZE
    );
    Ok(())
}

/// Loads all tiles with bytes that depend on `seed`, and compares their contents afterwards. `between`
/// runs while they are live.
///
/// # Errors
///
/// A tile has changed, or `between` failed.
pub fn checked_tiles(
    seed: u64,
    between: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let content: Box<[Tile; TILES]> = Box::new(std::array::from_fn(|tile| {
        let mut state = seed * TILES as u64 + tile as u64 + 1;
        Tile(std::array::from_fn::<u8, TILE_BYTES, _>(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 56) as u8
        }))
    }));
    let mut tiles = Tiles::configure();
    tiles.load_all(&content);
    between()?;
    let now = tiles.store_all();
    for (number, (now, then)) in now.iter().zip(content.iter()).enumerate() {
        ensure!(now.0 == then.0, "tile {number} has changed");
    }
    Ok(())
}

/// Runs `work` in `threads` new threads, started together, and waits for all of them. `work` gets
/// its thread's number, counting from 0.
///
/// # Errors
///
/// The error from the first thread that failed, with its number.
pub fn in_threads(
    threads: usize,
    work: impl Fn(usize) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let start = &Barrier::new(threads);
    let work = &work;
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| {
                scope.spawn(move || {
                    start.wait();
                    work(number)
                })
            })
            .collect();
        for (number, thread) in running.into_iter().enumerate() {
            match thread.join() {
                Ok(result) => result.with_context(|| format!("thread {number} of {threads}"))?,
                Err(_) => bail!("thread {number} of {threads} panicked"),
            }
        }
        Ok(())
    })
}
