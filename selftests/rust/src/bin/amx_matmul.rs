// SPDX-License-Identifier: GPL-2.0
//! Matrix products on tiles that must be bit-exact while the threads computing them take turns on a
//! CPU, or migrate between CPUs, with live tiles.

use anyhow::ensure;
use std::process::ExitCode;
use xcomp::Feature;
use xfd_selftests::cpus;
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::matrix::{Bf16, I8};
use xfd_selftests::tile::{Tile, Tiles, TILES};
use xfd_selftests::witness::{self, Witness};
use xfd_selftests::worker::{checked_product, in_threads};

const TESTS: &[ktap::Test] = &[
    ("int8_product", int8_product),
    ("bf16_product", bf16_product),
    ("products_in_turns_on_one_cpu", products_in_turns_on_one_cpu),
    ("products_on_all_cpus", products_on_all_cpus),
    ("products_that_migrate", products_that_migrate),
    ("tiles_in_turns_on_one_cpu", tiles_in_turns_on_one_cpu),
    ("tiles_that_migrate", tiles_that_migrate),
    ("the_witness_sees", the_witness_sees),
];

fn main() -> ExitCode {
    match xcomp::request(Feature::TILE_DATA) {
        Ok(()) => {}
        Err(error) => {
            println!("TAP version 13\n1..0 # SKIP no AMX tiles here: {error}");
            return ExitCode::from(4);
        }
    }
    let code = ktap::run(TESTS);
    witness::dismiss();
    code
}

/// Runs `work` in new threads, each of which has exactly one first use.
fn each_once(
    threads: usize,
    work: impl Fn(usize) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Outcome> {
    let witness = Witness::begin()?;
    in_threads(threads, work)?;
    witness.end(threads as u64, 0)?;
    Ok(Outcome::Passed)
}

fn both_products(
    seed: usize,
    mut between: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    checked_product::<I8>(seed as u64, &mut between)?;
    checked_product::<Bf16>(seed as u64, &mut between)
}

fn int8_product() -> anyhow::Result<Outcome> {
    each_once(1, |_| checked_product::<I8>(1, || Ok(())))
}

fn bf16_product() -> anyhow::Result<Outcome> {
    each_once(1, |_| checked_product::<Bf16>(1, || Ok(())))
}

fn yielding() -> anyhow::Result<()> {
    cpus::give_way();
    Ok(())
}

/// Runs `work`, and checks that the calling thread lost its CPU at least `times` times.
fn preempted(times: u64, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let before = cpus::switches()?;
    work()?;
    let switches = cpus::switches()? - before;
    ensure!(
        switches >= times,
        "only {switches} context switches: this proves nothing"
    );
    Ok(())
}

fn products_in_turns_on_one_cpu() -> anyhow::Result<Outcome> {
    let cpu = cpus::allowed()?[0];
    each_once(4, |number| {
        cpus::pin_to(cpu)?;
        preempted(10, || both_products(10 + number, yielding))
    })
}

/// More threads than CPUs, placed by the scheduler.
fn products_on_all_cpus() -> anyhow::Result<Outcome> {
    let threads = 2 * cpus::allowed()?.len() + 1;
    each_once(threads, |number| both_products(20 + number, yielding))
}

/// The CPUs to move between, or the reason to skip.
fn several_cpus() -> anyhow::Result<Result<Vec<usize>, Outcome>> {
    let cpus = cpus::allowed()?;
    Ok(if cpus.len() > 1 {
        Ok(cpus)
    } else {
        Err(Outcome::Skipped(
            "only one CPU: nowhere to migrate to".into(),
        ))
    })
}

fn products_that_migrate() -> anyhow::Result<Outcome> {
    let cpus = match several_cpus()? {
        Ok(cpus) => cpus,
        Err(skip) => return Ok(skip),
    };
    each_once(cpus.len() + 1, |number| {
        let mut places = cpus.iter().cycle().skip(number);
        both_products(30 + number, || {
            places.next().map_or(Ok(()), |&cpu| cpus::pin_to(cpu))
        })
    })
}

/// Contents for all tiles, unique to this number.
fn content(number: usize) -> [Tile; TILES] {
    std::array::from_fn(|tile| {
        Tile(std::array::from_fn(|i| {
            (i / 256 + i * 7 + tile * 31 + number * 101) as u8
        }))
    })
}

/// Loads the tiles, runs `step` that many times, and checks the tiles after each.
fn held_through(
    steps: usize,
    number: usize,
    mut step: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let content = content(number);
    let mut tiles = Tiles::configure();
    tiles.load_all(&content);
    for done in 0..steps {
        step()?;
        ensure!(
            tiles.store_all() == content,
            "tiles differ after step {done}"
        );
    }
    Ok(())
}

fn tiles_in_turns_on_one_cpu() -> anyhow::Result<Outcome> {
    let cpu = cpus::allowed()?[0];
    each_once(6, |number| {
        cpus::pin_to(cpu)?;
        preempted(10, || held_through(50, number, yielding))
    })
}

fn tiles_that_migrate() -> anyhow::Result<Outcome> {
    let cpus = match several_cpus()? {
        Ok(cpus) => cpus,
        Err(skip) => return Ok(skip),
    };
    each_once(cpus.len() + 1, |number| {
        let mut places = cpus.iter().cycle().skip(number);
        held_through(40, number, || {
            places.next().map_or(Ok(()), |&cpu| cpus::pin_to(cpu))
        })
    })
}

/// Checks that the counts that the tests above relied on were available.
fn the_witness_sees() -> anyhow::Result<Outcome> {
    if Witness::begin()?.is_blind() {
        return Ok(Outcome::Skipped("cannot probe xfd_enable_feature()".into()));
    }
    Ok(Outcome::Passed)
}
