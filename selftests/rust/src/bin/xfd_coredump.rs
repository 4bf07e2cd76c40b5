// SPDX-License-Identifier: GPL-2.0
//! Core dumps of processes before their first use of tiles, after TILERELEASE, and with live tiles.

use anyhow::{bail, ensure, Context};
use std::process::ExitCode;
use std::{process, thread};
use xcomp::Feature;
use xfd_selftests::core_file::{xstate_bv, Component, TILE_CFG, TILE_DATA};
use xfd_selftests::dumped::{self, core_of, without_cores};
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::tile::{content, Tiles};

const TESTS: &[ktap::Test] = &[
    ("without_permission", || dumped("unpermitted")),
    ("before_the_first_use", || dumped("no_buffer")),
    ("after_tilerelease", || dumped("initial")),
    ("with_live_tiles", || dumped("live")),
    ("of_two_threads", of_two_threads),
    ("layout", layout),
];

fn main() -> ExitCode {
    dumped::run(TESTS, die)
}

/// Dumps core in the state given by `how`.
fn die(how: &str) -> anyhow::Result<()> {
    if how != "unpermitted" {
        xcomp::request(Feature::TILE_DATA)?;
    }
    match how {
        "unpermitted" | "no_buffer" => {}
        "initial" => Tiles::configure().load_all(&content(1)),
        "live" | "two_threads" => {
            let mut tiles = Tiles::configure();
            tiles.load_all(&content(1));
            if how == "two_threads" {
                let other = thread::spawn(|| {
                    let mut tiles = Tiles::configure();
                    tiles.load_all(&content(2));
                    process::abort();
                });
                let _ = other.join();
            }
            process::abort();
        }
        _ => bail!("die how: {how}"),
    }
    process::abort()
}

fn dumped(how: &str) -> anyhow::Result<Outcome> {
    if let Some(skip) = without_cores()? {
        return Ok(skip);
    }
    let core = core_of(how)?;
    let [area] = core.areas.as_slice() else {
        bail!("{} notes of registers", core.areas.len())
    };
    let tiles = content(1);
    let bits = xstate_bv(area).context("XSTATE_BV")? & (1 << TILE_CFG | 1 << TILE_DATA);
    ktap::remark(format!("answer coredump.{how}.size {}", area.len()));
    ktap::remark(format!("answer coredump.{how}.tile_bits {bits:#x}"));
    core.expect_tiles(area, (how == "live").then_some(&tiles))?;
    Ok(Outcome::Passed)
}

/// Each thread has its own note; the thread that died comes first.
fn of_two_threads() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_cores()? {
        return Ok(skip);
    }
    let core = core_of("two_threads")?;
    let [died, other] = core.areas.as_slice() else {
        bail!("{} notes of registers", core.areas.len())
    };
    core.expect_tiles(died, Some(&content(2)))?;
    core.expect_tiles(other, Some(&content(1)))?;
    Ok(Outcome::Passed)
}

/// The layout matches what CPUID reports for each component of XCR0 beyond the legacy ones.
fn layout() -> anyhow::Result<Outcome> {
    if let Some(skip) = without_cores()? {
        return Ok(skip);
    }
    let core = core_of("no_buffer")?;
    for at in &core.layout {
        ktap::remark(format!(
            "answer coredump.layout.{} {} {} {}",
            at.number, at.size, at.offset, at.flags
        ));
    }
    let supported = xcomp::supported()?.bits();
    let expected: Vec<_> = (2..63)
        .filter(|number| supported >> number & 1 == 1)
        .map(|number| {
            let leaf = std::arch::x86_64::__cpuid_count(0xd, number);
            Component {
                number,
                size: leaf.eax,
                offset: leaf.ebx,
                flags: 0,
            }
        })
        .collect();
    ensure!(
        core.layout == expected,
        "{:?}, expected {expected:?}",
        core.layout
    );
    Ok(Outcome::Passed)
}
