// SPDX-License-Identifier: GPL-2.0
//! Checks that the emulated machine's counters, which `machine bench` measures with, count what they claim
//! to, and that a first use takes one #NM and no unnecessary MSR accesses.

use anyhow::{ensure, Context};
use std::process::ExitCode;
use xcomp::Feature;
use xfd_selftests::bench::clock::{Clock, Values};
use xfd_selftests::bench::{first_use, known};
use xfd_selftests::cpus;
use xfd_selftests::ktap::{self, Outcome};

const TESTS: &[ktap::Test] = &[
    ("instructions_are_counted_exactly", instructions),
    ("a_repeated_instruction_is_one", repeated),
    ("bytes_stored_and_copied", bytes),
    ("bytes_saved_and_restored", saved),
    ("exceptions_and_msrs_of_a_first_use", first_use_exits),
];

fn main() -> ExitCode {
    if !Clock::best().is_emulated() {
        println!("TAP version 13\n1..0 # SKIP no emulated machine: it has no counters");
        return ExitCode::from(4);
    }
    ktap::run(TESTS)
}

/// A clock for the CPU that the calling thread stays on.
fn clock() -> anyhow::Result<Clock> {
    cpus::pin_to(cpus::allowed()?[0])?;
    Ok(Clock::best())
}

/// What `unit` counts while `work` runs uninterrupted.
fn count(clock: &Clock, unit: &str, mut work: impl FnMut()) -> anyhow::Result<u64> {
    for _ in 0..100 {
        let mark = clock.mark();
        work();
        let values = clock.since(&mark);
        if !clock.disturbed(&values) {
            return value(clock, &values, unit);
        }
    }
    anyhow::bail!("an interrupt in each of 100 attempts")
}

fn value(clock: &Clock, values: &Values, unit: &str) -> anyhow::Result<u64> {
    let number = clock.units().iter().position(|u| *u == unit);
    Ok(values[number.context("no such unit")?])
}

fn same(what: &str, expected: u64, seen: u64) -> anyhow::Result<()> {
    ensure!(seen == expected, "{what}: {seen}, not {expected}");
    Ok(())
}

fn instructions() -> anyhow::Result<Outcome> {
    let clock = clock()?;
    let once = count(&clock, "instructions", known::thousand)?;
    let twice = count(&clock, "instructions", || {
        known::thousand();
        known::thousand();
    })?;
    // Off by one call or return is allowed.
    ensure!((990..1010).contains(&once), "once: {once}");
    ensure!(
        (1000..1010).contains(&(twice - once)),
        "once {once}, twice {twice}"
    );
    Ok(Outcome::Passed)
}

fn repeated() -> anyhow::Result<Outcome> {
    let clock = clock()?;
    let mut to = vec![1; 3 * 4096];
    let one = count(&clock, "instructions", || known::fill(&mut to[..1]))?;
    let all = count(&clock, "instructions", || known::fill(&mut to))?;
    // The two slices may differ by one instruction.
    ensure!(
        one.abs_diff(all) <= 2,
        "{all} instructions for all, {one} for one byte"
    );
    ensure!(
        to.iter().all(|&byte| byte == 7),
        "not all bytes were stored"
    );
    Ok(Outcome::Passed)
}

fn bytes() -> anyhow::Result<Outcome> {
    let clock = clock()?;
    let (from, mut to) = (vec![1; 5000], vec![0; 5000]);
    same(
        "stored",
        5000,
        count(&clock, "bytes_stored", || known::fill(&mut to))?,
    )?;
    same(
        "copied",
        0,
        count(&clock, "bytes_copied", || known::fill(&mut to))?,
    )?;
    same(
        "copied",
        5000,
        count(&clock, "bytes_copied", || known::copy(&from, &mut to))?,
    )?;
    same(
        "stored",
        0,
        count(&clock, "bytes_stored", || known::copy(&from, &mut to))?,
    )?;
    Ok(Outcome::Passed)
}

fn saved() -> anyhow::Result<Outcome> {
    xcomp::request(Feature::TILE_DATA)?;
    let clock = clock()?;
    for _ in 0..100 {
        let mut spans = Vec::new();
        let mut mark = clock.mark();
        known::save_and_restore(|| {
            spans.push(clock.since(&mark));
            mark = clock.mark();
        });
        if spans[1..].iter().any(|span| clock.disturbed(span)) {
            continue;
        }
        same("saved", 8192, value(&clock, &spans[1], "bytes_saved")?)?;
        same("restored", 0, value(&clock, &spans[1], "bytes_restored")?)?;
        same("saved", 0, value(&clock, &spans[2], "bytes_saved")?)?;
        same(
            "restored",
            8192,
            value(&clock, &spans[2], "bytes_restored")?,
        )?;
        return Ok(Outcome::Passed);
    }
    anyhow::bail!("an interrupt in each of 100 attempts")
}

fn first_use_exits() -> anyhow::Result<Outcome> {
    xcomp::request(Feature::TILE_DATA)?;
    let clock = clock()?;
    for span in first_use::one_by_one(&clock, 8)? {
        // If a thread is preempted in the handler, its MSR is written again.
        if clock.disturbed(&span) {
            continue;
        }
        for (unit, expected) in [
            ("nm", 1),
            ("rdmsr_xfd_err", 1),
            ("wrmsr_xfd_err", 1),
            ("rdmsr_xfd", 0),
            ("wrmsr_xfd", 1),
        ] {
            same(unit, expected, value(&clock, &span, unit)?)?;
        }
    }
    Ok(Outcome::Passed)
}
