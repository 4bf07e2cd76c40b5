// SPDX-License-Identifier: GPL-2.0
//! Checks a kernel against `machine/relied-on.toml`, which lists the kernel functions that the module relies on, with
//! the hashes of the bodies that were reviewed. A different body may mean that the module is wrong there, so each new
//! kernel needs this review.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};
use serde::Deserialize;

use crate::piece::kernel::Kernel;
use crate::workshop::cache::Cache;
use crate::workshop::count::Count;
use crate::workshop::key::Key;

/// The contents of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    function: Vec<Function>,
}

/// A kernel function that the module relies on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Function {
    name: String,
    /// The file in the kernel's tree.
    file: PathBuf,
    /// Our file that relies on it.
    ours: PathBuf,
    because: String,
    /// Series -> hash of the reviewed body.
    known: BTreeMap<String, String>,
}

impl Function {
    /// Whether a body with this hash was reviewed, in any series.
    fn is_known(&self, hash: &str) -> bool {
        self.known.values().any(|known| known == hash)
    }
}

/// Checks every function of the list in `kernel`'s tree. Each one with a body that nobody has reviewed is a failure,
/// and its difference from a reviewed body is written to a file among the cache's logs.
///
/// # Errors
///
/// The list cannot be read, or names a file of ours that does not exist.
pub fn check(cache: &Cache, project: &Path, kernel: &Kernel) -> Result<Count> {
    let path = project.join("machine/relied-on.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let list: List = toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))?;
    let mut count = Count::default();
    let mut differences = Vec::new();
    for function in &list.function {
        if !project.join(&function.ours).is_file() {
            bail!("{}: {}: there is no {}", path.display(), function.name, function.ours.display());
        }
        let ours = function.ours.display();
        let hash_of = |body: &String| function.is_known(&hash(body));
        if !body_in(&kernel.tree(), function).as_ref().is_some_and(hash_of) {
            kernel.whole()?;
        }
        let Some(body) = body_in(&kernel.tree(), function) else {
            let missing = format!(
                "{}() is not in {} of {}, but {ours} relies on it ({})",
                function.name,
                function.file.display(),
                kernel.release(),
                function.because
            );
            differences.push(format!("{missing}\n"));
            count.fail(missing);
            continue;
        };
        let hash = hash(&body);
        if function.is_known(&hash) {
            count.pass();
            continue;
        }
        differences.push(difference(cache, kernel, function, &body)?);
        count.fail(format!(
            "{}() of {} has a body that nobody has reviewed ({hash}); {ours} relies on it ({})",
            function.name,
            kernel.release(),
            function.because
        ));
    }
    if !differences.is_empty() {
        let log = cache.log(&format!("relied-on-{}", kernel.name()));
        fs::write(&log, differences.concat()).with_context(|| format!("cannot write {}", log.display()))?;
        count.remarks.push(format!("the differences from reviewed kernels are in {}", log.display()));
    }
    Ok(count)
}

fn body_in(tree: &Path, function: &Function) -> Option<String> {
    body(&fs::read_to_string(tree.join(&function.file)).ok()?, &function.name)
}

/// The definition of `name` in C source: from its first line to the closing brace at the start of a line.
fn body(source: &str, name: &str) -> Option<String> {
    let lines: Vec<_> = source.lines().collect();
    let starts = (0..lines.len()).filter(|i| names(lines[*i], name));
    for start in starts {
        let rest = &lines[start..];
        // A prototype ends with a semicolon, before a body begins.
        let Some(open) = rest.iter().position(|line| line.ends_with(['{', ';']) || *line == "{ }") else { continue };
        if rest[open].ends_with(';') {
            continue;
        }
        let Some(end) = rest.iter().position(|line| line.starts_with('}')) else { continue };
        return Some(rest[..=end].join("\n") + "\n");
    }
    None
}

/// Whether a line that is not indented has `name` before a parenthesis: of its parameters, or of a macro around it.
fn names(line: &str, name: &str) -> bool {
    let outside = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    outside
        && line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + name.len()..].chars().next();
            before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_') && matches!(after, Some('(' | ')'))
        })
}

/// The hash of the code only.
fn hash(body: &str) -> String {
    Key::new().add("body", code(body)).finish()
}

/// The code without comments, and with white space reduced to single spaces.
fn code(body: &str) -> String {
    let mut text = String::new();
    let mut rest = body;
    while let Some(at) = rest.find("/*") {
        text.push_str(&rest[..at]);
        rest = rest[at..].split_once("*/").map_or("", |(_, rest)| rest);
        text.push(' ');
    }
    text.push_str(rest);
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(line));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// The difference between this body and a reviewed one of a prepared kernel in the cache; the body itself if there is
/// none.
fn difference(cache: &Cache, kernel: &Kernel, function: &Function, new: &str) -> Result<String> {
    let title = format!("==== {}(), {}: {}\n", function.name, function.ours.display(), function.because);
    let Some((old_release, old)) = read_before(cache, function)? else {
        return Ok(format!("{title}no prepared kernel has a reviewed body; {} has\n{new}\n", kernel.release()));
    };
    let scratch = cache.scratch("relied-on")?;
    let files = [(old_release.as_str(), old.as_str()), (kernel.release(), new)];
    for (release, text) in files {
        fs::write(scratch.path().join(release), text)?;
    }
    let mut diff = Command::new("diff");
    let output = diff.args(["-u", &old_release, kernel.release()]).current_dir(scratch.path()).output();
    let output = output.context("cannot run diff (Debian: diffutils)")?;
    Ok(format!("{title}{}\n", String::from_utf8_lossy(&output.stdout)))
}

/// The highest release among prepared kernels whose body was reviewed, and that body.
fn read_before(cache: &Cache, function: &Function) -> Result<Option<(String, String)>> {
    let mut found = None;
    for entry in fs::read_dir(cache.root())? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("kernel-") {
            continue;
        }
        for piece in fs::read_dir(entry.path())? {
            let piece = piece?.path();
            let Ok(release) = fs::read_to_string(piece.join("release")) else { continue };
            let Some(body) = body_in(&piece.join("tree"), function) else { continue };
            if function.is_known(&hash(&body)) {
                found = found.max(Some((release.trim().to_owned(), body)));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "void other(int x);\nstatic int wanted(int a,\n\t\t  int b);\n\
                          /* wanted() does it */\nEXPORT_SYMBOL(wanted);\n\
                          static int wanted(int a,\n\t\t  int b)\n{\n\tif (a)\t/* why */\n\t{\n\t}\n\treturn b; // that\n}\n\
                          DEFINE_IDTENTRY(exc_wanted)\n{\n\tx();\n}\n\nint after(void)\n{\n}\n";

    #[test]
    fn a_body_is_found_beside_its_prototype() {
        let found = body(SOURCE, "wanted").unwrap();
        assert!(found.starts_with("static int wanted(int a,\n") && found.ends_with("that\n}\n"), "{found}");
        assert_eq!(body(SOURCE, "exc_wanted").unwrap(), "DEFINE_IDTENTRY(exc_wanted)\n{\n\tx();\n}\n");
        assert_eq!(body(SOURCE, "ante"), None);
        assert_eq!(body(SOURCE, "other"), None);
    }

    #[test]
    fn the_hash_ignores_comments_and_spaces_but_not_code() {
        let found = body(SOURCE, "wanted").unwrap();
        assert_eq!(
            hash(&found),
            hash(&found.replace("/* why */", "/* another\n * reason */  ").replace("// that", ""))
        );
        assert_ne!(hash(&found), hash(&found.replace("return b", "return a")));
    }

    #[test]
    fn the_shipped_list_names_files_of_ours() {
        let project = Path::new("..");
        let text = fs::read_to_string(project.join("machine/relied-on.toml")).unwrap();
        let list: List = toml::from_str(&text).unwrap();
        for function in list.function {
            assert!(project.join(&function.ours).is_file(), "{}: {}", function.name, function.ours.display());
        }
    }
}
