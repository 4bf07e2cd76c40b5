// SPDX-License-Identifier: GPL-2.0
//! The xcomp crate on a kernel with AMX: what each call reports, refuses and changes.
//!
//! Permission cannot be given back, so the tests run in this order, from none to both.

use anyhow::{ensure, Context};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use xcomp::{Error, Feature, FeatureSet};
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::tile::Tiles;
use xfd_selftests::witness::{self, Witness};
use xfd_selftests::{altstack, worker};

const TESTS: &[ktap::Test] = &[
    ("permitted_by_default", permitted_by_default),
    ("not_known", not_known),
    ("not_supported", not_supported),
    ("unpermitted_use_is_sigill", unpermitted_use_is_sigill),
    ("alt_stack_too_small", alt_stack_too_small),
    ("request_guest", request_guest),
    ("request", request),
    ("every_thread_may", every_thread_may),
    ("exec_ends_the_permission", exec_ends_the_permission),
];

/// As an argument: a separate program that uses a tile without asking, and must die of it.
const USE_A_TILE: &str = "--use-a-tile";
const SIGILL: i32 = 4;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(USE_A_TILE) {
        Tiles::configure().zero::<0>();
        return ExitCode::SUCCESS;
    }
    let code = ktap::run(TESTS);
    witness::dismiss();
    code
}

/// The reason to skip a test that needs AMX, if there is none.
fn without_amx() -> anyhow::Result<Option<Outcome>> {
    if xcomp::supported()?.contains(Feature::TILE_DATA) {
        return Ok(None);
    }
    Ok(Some(Outcome::Skipped("no AMX on this machine".into())))
}

fn masks() -> anyhow::Result<[FeatureSet; 3]> {
    Ok([
        xcomp::supported()?,
        xcomp::permitted()?,
        xcomp::guest_permitted()?,
    ])
}

fn permitted_by_default() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_amx()? {
        return Ok(skip);
    }
    let [supported, permitted, guest] = masks()?;
    ensure!(
        permitted.contains(Feature::TILE_CFG),
        "no tile configuration in {permitted}"
    );
    ensure!(
        !permitted.contains(Feature::TILE_DATA),
        "tile data in {permitted} without a request"
    );
    ensure!(
        permitted.with(Feature::TILE_DATA) == supported,
        "{permitted} of {supported}"
    );
    ensure!(guest == permitted, "guest {guest}, host {permitted}");
    Ok(Outcome::Passed)
}

/// Checks that both kinds of request fail with `expected` for each of `numbers`, and change nothing.
fn refused(numbers: impl Iterator<Item = u64>, expected: Error) -> anyhow::Result<Outcome> {
    let before = masks()?;
    for number in numbers {
        let feature = Feature::from_component(number);
        for answer in [xcomp::request(feature), xcomp::request_guest(feature)] {
            ensure!(answer == Err(expected), "feature {number}: {answer:?}");
        }
    }
    ensure!(
        masks()? == before,
        "masks were {before:?}, now {:?}",
        masks()?
    );
    Ok(Outcome::Passed)
}

fn not_known() -> anyhow::Result<Outcome> {
    refused(
        [20, 63, 64, 1 << 32 | 18, u64::MAX].into_iter(),
        Error::NotKnown,
    )
}

fn not_supported() -> anyhow::Result<Outcome> {
    refused((0..20).filter(|&number| number != 18), Error::NotSupported)
}

fn use_a_tile_in_a_new_program() -> anyhow::Result<ExitStatus> {
    let program = std::env::current_exe()?;
    Command::new(program)
        .arg(USE_A_TILE)
        .status()
        .context("starting this program again")
}

fn unpermitted_use_is_sigill() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_amx()? {
        return Ok(skip);
    }
    let witness = Witness::begin()?;
    let status = use_a_tile_in_a_new_program()?;
    ensure!(status.signal() == Some(SIGILL), "ended with {status}");
    witness.end(0, 1)?;
    Ok(Outcome::Passed)
}

fn alt_stack_too_small() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_amx()? {
        return Ok(skip);
    }
    let before = masks()?;
    let answer = altstack::with(altstack::largest_frame() - 1, || {
        xcomp::request(Feature::TILE_DATA)
    })?;
    ensure!(answer == Err(Error::AltStackTooSmall), "{answer:?}");
    ensure!(
        masks()? == before,
        "masks were {before:?}, now {:?}",
        masks()?
    );
    Ok(Outcome::Passed)
}

fn request_guest() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_amx()? {
        return Ok(skip);
    }
    let [supported, permitted, guest] = masks()?;
    xcomp::request_guest(Feature::TILE_DATA)?;
    let expected = [supported, permitted, guest.with(Feature::TILE_DATA)];
    ensure!(
        masks()? == expected,
        "{:?}, expected {expected:?}",
        masks()?
    );
    Ok(Outcome::Passed)
}

fn request() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_amx()? {
        return Ok(skip);
    }
    let [supported, permitted, guest] = masks()?;
    let expected = [supported, permitted.with(Feature::TILE_DATA), guest];
    // The second time it is already permitted.
    for _ in 0..2 {
        xcomp::request(Feature::TILE_DATA)?;
        ensure!(
            masks()? == expected,
            "{:?}, expected {expected:?}",
            masks()?
        );
    }
    Ok(Outcome::Passed)
}

fn every_thread_may() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_amx()? {
        return Ok(skip);
    }
    xcomp::request(Feature::TILE_DATA)?;
    let witness = Witness::begin()?;
    worker::in_threads(6, |_| {
        Tiles::configure().zero::<0>();
        Ok(())
    })?;
    witness.end(6, 0)?;
    Ok(Outcome::Passed)
}

fn exec_ends_the_permission() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_amx()? {
        return Ok(skip);
    }
    xcomp::request(Feature::TILE_DATA)?;
    let witness = Witness::begin()?;
    let status = use_a_tile_in_a_new_program()?;
    ensure!(status.signal() == Some(SIGILL), "ended with {status}");
    witness.end(0, 1)?;
    Ok(Outcome::Passed)
}
