// SPDX-License-Identifier: GPL-2.0
//! `--with SRC[:DEST]`: files of the host's for the guest.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::piece::initramfs::Initramfs;
use crate::workshop::key::files_below;

/// Where they go if nothing else is said.
const HOME: &str = "root";

/// Puts a file, or all files of a folder, into the guest: below `/root`, or where `DEST` says.
///
/// # Errors
///
/// It is not there, or cannot be read.
pub fn add(files: &mut Initramfs, with: &str) -> Result<()> {
    let (source, dest) = split(with);
    let source = source.canonicalize().with_context(|| format!("cannot find {}", source.display()))?;
    let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let at = place(dest, &name);
    if source.is_file() {
        return files.file(&at, &source);
    }
    for file in files_below(&source)? {
        files.file(&format!("{at}/{}", file.strip_prefix(&source)?.display()), &file)?;
    }
    Ok(())
}

/// At the last colon, unless all of it is the name of something.
fn split(with: &str) -> (PathBuf, Option<&str>) {
    match with.rsplit_once(':') {
        Some((source, dest)) if !Path::new(with).exists() => (source.into(), Some(dest)),
        _ => (with.into(), None),
    }
}

/// The path in the guest, without a slash at its beginning. A folder at the end of `dest` is one to put it into.
fn place(dest: Option<&str>, name: &str) -> String {
    let dest = dest.unwrap_or_default();
    let name = if dest.is_empty() || dest.ends_with('/') { name } else { "" };
    let home = if dest.starts_with('/') { "" } else { HOME };
    let parts = [home, dest, name].map(|part| part.trim_matches('/'));
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_absolute_or_below_the_home_folder() {
        assert_eq!(place(None, "a"), "root/a");
        assert_eq!(place(Some(""), "a"), "root/a");
        assert_eq!(place(Some("b/c"), "a"), "root/b/c");
        assert_eq!(place(Some("b/"), "a"), "root/b/a");
        assert_eq!(place(Some("/usr/lib/"), "a"), "usr/lib/a");
        assert_eq!(place(Some("/etc/passwd"), "a"), "etc/passwd");
    }

    #[test]
    fn files_and_folders_go_where_they_are_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("tree/below")).unwrap();
        for name in ["file", "with:colon", "tree/one", "tree/below/two"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let mut files = Initramfs::default();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for with in [path("file"), path("with:colon"), path("tree:/data"), path("with:colon:named")] {
            add(&mut files, &with).unwrap();
        }
        let archive = String::from_utf8_lossy(&files.archive().unwrap()).into_owned();
        for name in ["root/file", "root/with:colon", "root/named", "data/one", "data/below/two"] {
            assert!(archive.contains(name), "{name}");
        }
        assert!(add(&mut files, &path("missing")).is_err());
    }
}
