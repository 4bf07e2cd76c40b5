// SPDX-License-Identifier: GPL-2.0
//! Runs the litmus tests of upstream/lkmm: herd7 looks for their outcomes in every execution that the kernel's memory
//! model allows. The model comes from the kernel that the machine boots.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::piece::project::Project;
use crate::piece::toolroot::Toolroot;
use crate::workshop::child::Log;
use crate::workshop::count::Count;
use crate::workshop::progress::Step;

/// The name of this test in `machine check`, and of the root and the log in the cache.
pub const NAME: &str = "litmus";
/// Where the model and the tests appear in the root.
const MODEL: &str = "/xfd/model";
const TESTS: &str = "/xfd/tests";

/// How often an outcome occurs, and whether a data race was found.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    how_often: String,
    race: bool,
}

/// Runs all tests. They are skipped if the archive does not have herd7.
///
/// # Errors
///
/// The kernel cannot be prepared, or the tests cannot be read.
pub fn check(project: &Project) -> Result<Count> {
    let mut count = Count::default();
    let recipe = &project.recipe;
    let suite = recipe.toolroot(&recipe.litmus.toolroot)?;
    let root = match Toolroot::small(NAME, &recipe.litmus.packages, &project.cache, suite) {
        Ok(root) => root,
        Err(error) => {
            let why = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
            count.skip(format!("no herd7, so none of upstream/lkmm was run: {why}"));
            return Ok(count);
        }
    };
    let kernel = project.kernel()?;
    let step = Step::start(NAME, "running the litmus tests");
    let log = Log::create(project.cache.log(NAME))?;
    for file in tests(project)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        step.now(&name);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let inside = root.inside().read(&kernel.tree().join("tools/memory-model"), MODEL);
        let inside = inside.read(&project.dir.join("upstream/lkmm"), TESTS).dir(MODEL);
        let mut herd7 = inside.command("herd7");
        herd7.args(["-conf", "linux-kernel.cfg"]).arg(format!("{TESTS}/{name}"));
        match log.output(&format!("herd7 {name}"), &mut herd7).and_then(|said| judge(&text, &said)) {
            Ok(()) => count.pass_of(name),
            Err(error) => count.fail(format!("{name}: {error:#}")),
        }
    }
    step.done();
    Ok(count)
}

fn tests(project: &Project) -> Result<Vec<PathBuf>> {
    let folder = project.dir.join("upstream/lkmm");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "litmus"));
    files.sort();
    anyhow::ensure!(!files.is_empty(), "{} has no litmus test", folder.display());
    Ok(files)
}

/// Compares what herd7 said with what the test announces.
fn judge(test: &str, said: &str) -> Result<()> {
    let announced = announced(test).context("it has no line `Result: Never`, `Sometimes` or `Always`")?;
    let found = found(said).context("herd7 gave no result; see the log")?;
    anyhow::ensure!(found == announced, "{}, but it announces {}", shown(&found), shown(&announced));
    Ok(())
}

/// The line in the kernel's form: ` * Result: Never`, or ` * Result: Sometimes DATARACE`.
fn announced(test: &str) -> Option<Found> {
    let line = test.lines().find_map(|line| line.trim_start().strip_prefix("* Result: "))?;
    let mut words = line.split_whitespace();
    let how_often = words.next().filter(|word| ["Never", "Sometimes", "Always"].contains(word))?;
    Some(Found { how_often: how_often.to_owned(), race: words.next() == Some("DATARACE") })
}

/// herd7's line `Observation NAME Never 0 4`, and its flags.
fn found(said: &str) -> Option<Found> {
    let line = said.lines().find_map(|line| line.strip_prefix("Observation "))?;
    let how_often = line.split_whitespace().nth(1)?.to_owned();
    Some(Found { how_often, race: said.lines().any(|line| line == "Flag data-race") })
}

fn shown(found: &Found) -> String {
    format!("{}{}", found.how_often, if found.race { ", with a data race" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: &str = "C x\n\n(*\n * Result: Never\n *\n * Text.\n *)\n";

    #[test]
    fn a_result_must_be_the_announced_one() {
        assert!(judge(NEVER, "Test x Allowed\nNo\nObservation x Never 0 4\n").is_ok());
        assert!(judge(NEVER, "Ok\nObservation x Sometimes 1 4\n").is_err());
        assert!(judge(NEVER, "Flag data-race\nObservation x Never 0 4\n").is_err());
    }

    #[test]
    fn a_race_must_be_announced_and_found() {
        let race = NEVER.replace("Never", "Sometimes DATARACE");
        assert!(judge(&race, "Flag data-race\nObservation x Sometimes 1 4\n").is_ok());
        assert!(judge(&race, "Observation x Sometimes 1 4\n").is_err());
    }

    #[test]
    fn no_result_is_an_error() {
        assert!(judge(NEVER, "").is_err());
        assert!(judge("C x\n", "Observation x Never 0 4\n").is_err());
        assert!(judge("C x\n(*\n * Result: Maybe\n *)\n", "Observation x Maybe 0 4\n").is_err());
    }
}
