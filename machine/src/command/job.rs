// SPDX-License-Identifier: GPL-2.0
//! The job that `machine run` sends to the guest's agent: the program, its files and a script that starts it. Also
//! unpacks the files that come back.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Component, Path};

use anyhow::{bail, ensure, Context, Result};
use cpio::newc;

use crate::boot::machine::quote;
use crate::command::with;
use crate::piece::initramfs::Initramfs;
use crate::piece::programs::brought::{self, Start};
use crate::workshop::Usage;

/// The program's working directory in the guest.
const WORK: &str = "work";
/// Packs what the program wrote. Files that came with the job are older: their time is the epoch.
const COLLECT: &str = "cd /work && find . -mindepth 1 -newer /job/start | cpio -o -H newc 2>/dev/null\n";
/// The file type bits of a mode, cpio(5).
const TYPE: u32 = 0o170000;

/// A program to run in the guest.
pub struct Job<'a> {
    pub program: &'a Path,
    pub arguments: &'a [String],
    /// `SRC[:DEST]`, relative to the working directory.
    pub with: &'a [String],
    /// `NAME=VALUE`, or `NAME` to pass on the value that it has here.
    pub environment: &'a [String],
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
            with::add(&mut files, with, WORK)?;
        }
        if self.collects {
            files.content("job/collect", 0o644, COLLECT);
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

/// Whether a path is relative and never leaves its folder.
fn is_below(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Unpacks the archive that the guest sent into the folder `to`, and returns the number of files.
///
/// # Errors
///
/// The archive is malformed, or names a file outside `to`; a file cannot be written.
pub fn unpack(archive: &[u8], to: &Path) -> Result<usize> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut rest = archive;
    let mut number = 0;
    loop {
        let mut reader = newc::Reader::new(rest).context("what the guest sent is cut short")?;
        if reader.entry().is_trailer() {
            return Ok(number);
        }
        let (name, mode) = (reader.entry().name().trim_start_matches("./").to_owned(), reader.entry().mode());
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        rest = reader.finish()?;
        ensure!(is_below(Path::new(&name)), "the guest sent a file with the invalid name {name:?}");
        let path = to.join(&name);
        // A symbolic link that was unpacked before must not lead outside.
        let parent = path.parent().unwrap_or(to);
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        ensure!(parent.canonicalize()?.starts_with(to.canonicalize()?), "the guest sent {name:?} through a link");
        let write = || -> std::io::Result<()> {
            match mode & TYPE {
                0o040000 => return fs::create_dir_all(&path),
                0o100000 | 0o120000 => {}
                _ => return Ok(()),
            }
            if path.symlink_metadata().is_ok() {
                fs::remove_file(&path)?;
            }
            if mode & TYPE == 0o120000 {
                return symlink(String::from_utf8_lossy(&content).as_ref(), &path);
            }
            fs::write(&path, &content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o755 | 0o600))
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        number += usize::from(mode & TYPE == 0o100000);
        if rest.is_empty() {
            bail!("what the guest sent is cut short");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(files: &[(&str, u32, &str)]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, mode, content) in files {
            let mut writer = newc::Builder::new(name).mode(*mode).write(&mut archive, content.len() as u32);
            std::io::Write::write_all(&mut writer, content.as_bytes()).unwrap();
            writer.finish().unwrap();
        }
        newc::trailer(&mut archive).unwrap();
        archive
    }

    #[test]
    fn files_from_the_guest_are_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let archive =
            packed(&[("./a", 0o040755, ""), ("./a/b", 0o100755, "x"), ("./l", 0o120777, "a/b"), ("p", 0o010644, "")]);
        assert_eq!(unpack(&archive, dir.path()).unwrap(), 1);
        assert_eq!(fs::read_to_string(dir.path().join("l")).unwrap(), "x");
        assert_eq!(fs::metadata(dir.path().join("a/b")).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(!dir.path().join("p").exists());
        // Once more, over the existing files.
        assert_eq!(unpack(&archive, dir.path()).unwrap(), 1);
    }

    #[test]
    fn nothing_is_written_outside_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        for archive in [
            packed(&[("../x", 0o100644, "1")]),
            packed(&[("/x", 0o100644, "1")]),
            packed(&[("l", 0o120777, ".."), ("l/x", 0o100644, "1")]),
        ] {
            assert!(unpack(&archive, &inside).is_err());
        }
        assert!(!dir.path().join("x").exists());
        assert!(unpack(&packed(&[("x", 0o100644, "1")])[..100], &inside).is_err());
    }

    #[test]
    fn variables_are_exported_quoted() {
        let job = |environment: &[String]| {
            Job { program: Path::new("/p"), arguments: &["a'b".into()], with: &[], environment, collects: false }
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
