// SPDX-License-Identifier: GPL-2.0
//! `machine docs`: builds Documentation/ as HTML, with Sphinx in a small root of its own.

use std::fs;
use std::path::PathBuf;

use anyhow::{bail, Context, Result};

use crate::boot::verdict;
use crate::piece::project::Project;
use crate::piece::toolroot::Toolroot;
use crate::workshop::child::Log;
use crate::workshop::count::Count;
use crate::workshop::namespace::remove_tree;
use crate::workshop::progress::Step;

/// The name of this test in `machine check`, and of the root, the log and the folder in the cache.
pub const NAME: &str = "docs";
/// Where the project and the result appear in the root.
const PROJECT: &str = "/xfd/project";
const BUILT: &str = "/xfd/built";

/// Builds the pages, and prints the path of the first one.
///
/// # Errors
///
/// Sphinx fails without a warning; no network; no space. Warnings are printed, and the status is that of a failure.
pub fn docs(project: &Project) -> Result<u8> {
    project.refuse_kernel("docs")?;
    let (pages, warnings) = build(project)?;
    match pages {
        Some(pages) => {
            println!("{}", pages.join("index.html").display());
            Ok(verdict::PASS)
        }
        None => {
            warnings.iter().for_each(|warning| eprintln!("{warning}"));
            Ok(verdict::FAIL)
        }
    }
}

/// The same as a test: one pass, or one failure for each warning.
///
/// # Errors
///
/// The root cannot be built.
pub fn check(project: &Project) -> Result<Count> {
    let mut count = Count::default();
    match build(project)? {
        (Some(_), _) => count.pass(),
        (None, warnings) => warnings.into_iter().for_each(|warning| count.fail(warning)),
    }
    Ok(count)
}

/// The folder with the pages if there was no warning; otherwise all warnings, and the pages of an earlier run stay.
fn build(project: &Project) -> Result<(Option<PathBuf>, Vec<String>)> {
    let (cache, recipe) = (&project.cache, &project.recipe);
    let root = Toolroot::small(NAME, &recipe.docs.packages, cache, &recipe.toolroots[0])?;
    let step = Step::start(NAME, "building Documentation/");
    let log = Log::create(cache.log(NAME))?;
    // A new folder each time: Sphinx does not repeat its warnings about pages that it need not read again.
    let scratch = cache.scratch(NAME)?;
    let inside = root.inside().read(&project.dir, PROJECT).write(scratch.path(), BUILT);
    let mut sphinx = inside.command("sphinx-build");
    sphinx.args(["-b", "html", "-q", "-W", "--keep-going", "-n", "-d"]).arg(format!("{BUILT}/doctrees"));
    sphinx.arg(format!("{PROJECT}/Documentation")).arg(format!("{BUILT}/html"));
    let ended = log.run("sphinx-build", &mut sphinx);
    step.done();
    if let Err(error) = ended {
        let found = warnings(&fs::read_to_string(log.path())?);
        if found.is_empty() {
            bail!(error);
        }
        return Ok((None, found));
    }
    let _lock = cache.exclusive(NAME)?;
    let pages = cache.root().join(NAME);
    remove_tree(&pages)?;
    fs::rename(scratch.path().join("html"), &pages).with_context(|| format!("cannot write {}", pages.display()))?;
    Ok((Some(pages), Vec::new()))
}

/// The warnings and errors in Sphinx's output, with paths relative to the checkout.
fn warnings(text: &str) -> Vec<String> {
    let is_warning = |line: &&str| ["WARNING: ", "ERROR: ", "CRITICAL: "].iter().any(|word| line.contains(word));
    text.lines().filter(is_warning).map(|line| line.replace(&format!("{PROJECT}/"), "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_found_with_file_and_line() {
        let text = "reading sources... [100%] index\n\
                    /xfd/project/Documentation/a.rst:7: WARNING: undefined label: 'b' [ref.ref]\n\
                    build finished with problems, 1 warning (with warnings treated as errors).\n";
        assert_eq!(warnings(text), ["Documentation/a.rst:7: WARNING: undefined label: 'b' [ref.ref]"]);
    }
}
