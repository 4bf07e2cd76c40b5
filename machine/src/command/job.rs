// SPDX-License-Identifier: GPL-2.0
//! The job that `machine run` sends to the guest's agent: the program, its files and a script that starts it.

use std::path::Path;

use anyhow::{ensure, Context, Result};

use crate::boot::machine::quote;
use crate::command::{with, written};
use crate::piece::initramfs::Initramfs;
use crate::piece::programs::brought::{self, Start};
use crate::workshop::Usage;

/// The program's working directory in the guest.
const WORK: &str = "work";

/// A program to run in the guest.
pub struct Job<'a> {
    pub program: &'a Path,
    pub arguments: &'a [String],
    /// `SRC[:DEST]`, relative to the working directory.
    pub with: &'a [String],
    /// `NAME=VALUE`, or `NAME` to pass on the value that it has here.
    pub environment: &'a [String],
    /// The guest's memory, which its files have to fit into.
    pub memory_mib: u32,
    /// Whether to collect the files that it wrote.
    pub collects: bool,
}

impl Job<'_> {
    /// The job as a cpio archive.
    ///
    /// # Errors
    ///
    /// A file is missing or cannot be read; two files have the same path; a variable is not set or its name is invalid.
    pub fn archive(&self) -> Result<Vec<u8>> {
        let mut files = Initramfs::default();
        let name = self.program.file_name().context("the program has no file name")?.to_string_lossy();
        let at = format!("{WORK}/{name}");
        let start = brought::bring(self.program, &at, &mut files)?;
        for with in self.with {
            with::add(&mut files, with, WORK, self.memory_mib)?;
        }
        if self.collects {
            files.content("job/collect", 0o644, written::COLLECT);
        }
        files.content("job/run", 0o644, self.script(&start)?);
        files.archive()
    }

    fn script(&self, start: &Start) -> Result<String> {
        let mut script = format!("cd /{WORK}\n");
        if self.collects {
            script.push_str("touch -d @1 /job/start\n");
        }
        if !start.library_path.is_empty() {
            script.push_str(&format!("export LD_LIBRARY_PATH={}\n", quote(&start.library_path.join(":"))));
        }
        for variable in self.environment {
            let (name, value) = match variable.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let value = std::env::var(variable)
                        .map_err(|_| Usage(format!("--env {variable}: not set in this environment")))?;
                    (variable.as_str(), value)
                }
            };
            let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
            ensure!(
                name.chars().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit()),
                Usage(format!("--env {variable}: {name:?} is not a valid variable name"))
            );
            script.push_str(&format!("export {name}={}\n", quote(&value)));
        }
        let words = start.words.iter().chain(self.arguments).map(|word| quote(word)).collect::<Vec<_>>();
        script.push_str(&format!("exec {}\n", words.join(" ")));
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_exported_quoted() {
        let job = |environment: &[String]| {
            Job {
                program: Path::new("/p"),
                arguments: &["a'b".into()],
                with: &[],
                environment,
                memory_mib: 1,
                collects: false,
            }
            .script(&Start { words: vec!["/work/p".into()], library_path: Vec::new() })
        };
        let script = job(&["A=it's".into(), "B=".into()]).unwrap();
        assert!(script.ends_with("export A='it'\\''s'\nexport B=''\nexec '/work/p' 'a'\\''b'\n"), "{script}");
        assert!(
            job(&["A B=1".into()]).is_err()
                && job(&["1=1".into()]).is_err()
                && job(&["NOT_SET_HERE".into()]).is_err()
        );
    }
}
