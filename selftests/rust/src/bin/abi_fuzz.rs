// SPDX-License-Identifier: GPL-2.0
//! Asks the kernel things no program would ask, and prints the answers for comparison with another
//! kernel's. See Documentation/stress.rst.

use anyhow::{ensure, Context};
use clap::Parser;
use std::process::ExitCode;
use std::sync::OnceLock;
use xfd_selftests::fuzz::case::Case;
use xfd_selftests::fuzz::generate;
use xfd_selftests::fuzz::run::{Runner, WRONG};
use xfd_selftests::fuzz::state::digest;
use xfd_selftests::fuzz::text::corpus;
use xfd_selftests::ktap::{self, Outcome};
use xfd_selftests::stress::plan::Choice;
use xfd_selftests::stress::Place;

/// The number of cases whose answers make up one value.
const BLOCK: u64 = 10;
const CORPUS: &str = include_str!("../../corpus/cases.txt");

/// Prints the kernel's answers to the corpus and to random cases
#[derive(Parser)]
struct Arguments {
    /// Chooses the random cases
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of random cases
    #[arg(long, default_value_t = 200)]
    cases: u64,
    /// Run only this case, in the format shown in the output
    #[arg(long)]
    case: Option<String>,
}

static ARGUMENTS: OnceLock<Arguments> = OnceLock::new();

fn main() -> ExitCode {
    let arguments = ARGUMENTS.get_or_init(Arguments::parse);
    match xcomp::supported() {
        Ok(s) if s.contains(xcomp::Feature::TILE_DATA) => {}
        _ => {
            println!("TAP version 13\n1..0 # SKIP no AMX tiles here");
            return ExitCode::from(4);
        }
    }
    if arguments.case.is_some() {
        return ktap::run(&[("one_case", one_case)]);
    }
    ktap::run(&[
        ("the_corpus", the_corpus),
        ("random_cases", random_cases),
        ("answers_repeat", answers_repeat),
    ])
}

fn arguments() -> anyhow::Result<&'static Arguments> {
    ARGUMENTS.get().context("no arguments")
}

/// Runs one case; a hang or an impossible answer is an error.
fn answer(runner: &mut Runner, case: &Case) -> anyhow::Result<String> {
    let answer = runner.answer(case).with_context(|| case.to_string())?;
    ensure!(!answer.contains(WRONG), "{case} -> {answer}");
    Ok(answer)
}

fn one_case() -> anyhow::Result<Outcome> {
    let case = arguments()?.case.as_deref().context("no case")?.parse()?;
    ktap::remark(format!("{case} -> {}", answer(&mut Runner::new()?, &case)?));
    Ok(Outcome::Passed)
}

fn the_corpus() -> anyhow::Result<Outcome> {
    let mut runner = Runner::new()?;
    for (name, case) in corpus(CORPUS)? {
        println!("# answer fuzz.{name} {}", answer(&mut runner, &case)?);
    }
    Ok(Outcome::Passed)
}

fn choice(seed: u64) -> Choice {
    Choice::of(Place {
        seed,
        slot: 0,
        generation: 0,
        thread: 0,
    })
}

/// One line per case, to locate differences, and one value for every ten.
fn random_cases() -> anyhow::Result<Outcome> {
    let Arguments { seed, cases, .. } = arguments()?;
    let (mut runner, mut choice) = (Runner::new()?, choice(*seed));
    let mut block = String::new();
    for number in 0..*cases {
        let case = generate::case(&mut choice);
        let answer = answer(&mut runner, &case)?;
        ktap::remark(format!("{number} {case} -> {answer}"));
        block.push_str(&answer);
        if (number + 1) % BLOCK == 0 {
            let from = number + 1 - BLOCK;
            println!(
                "# answer fuzz.seed{seed}.{from:05} {:016x}",
                digest(block.bytes())
            );
            block.clear();
        }
    }
    Ok(Outcome::Passed)
}

/// A value compared between kernels must be the same in each run on one of them.
fn answers_repeat() -> anyhow::Result<Outcome> {
    let (mut runner, mut choice) = (Runner::new()?, choice(arguments()?.seed));
    for _ in 0..20 {
        let case = generate::case(&mut choice);
        let (one, two) = (answer(&mut runner, &case)?, answer(&mut runner, &case)?);
        ensure!(one == two, "{case} -> {one}, then {two}");
    }
    Ok(Outcome::Passed)
}
