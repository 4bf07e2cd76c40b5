// SPDX-License-Identifier: GPL-2.0
//! `--with SRC[:DEST]`: copies files of the host into the guest.

use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};

use crate::piece::initramfs::Initramfs;
use crate::workshop::Usage;

/// Copies a file or folder into the guest: below `home`, or to `DEST`.
///
/// # Errors
///
/// It does not exist or cannot be read; the guest already has something there; `DEST` contains `..`.
pub fn add(files: &mut Initramfs, with: &str, home: &str) -> Result<()> {
    copy(files, with, home).map_err(|error| Usage(format!("--with {with}: {error:#}")).into())
}

fn copy(files: &mut Initramfs, with: &str, home: &str) -> Result<()> {
    let (source, dest) = split(with);
    let source = source.canonicalize().with_context(|| format!("cannot find {}", source.display()))?;
    let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let at = place(dest, &name, home);
    ensure!(!at.split('/').any(|part| part == ".."), "DEST must not contain `..`");
    ensure!(!at.is_empty() && !files.has(&at), "the guest already has /{at}");
    files.copy(&at, &source)
}

/// Splits at the last colon, unless the whole argument is an existing path.
fn split(with: &str) -> (PathBuf, Option<&str>) {
    match with.rsplit_once(':') {
        Some((source, dest)) if !Path::new(with).exists() => (source.into(), Some(dest)),
        _ => (with.into(), None),
    }
}

/// The path in the guest, without a leading slash. If `dest` ends with a slash, it is the folder to put `name` into.
fn place(dest: Option<&str>, name: &str, home: &str) -> String {
    let dest = dest.unwrap_or_default();
    let name = if dest.is_empty() || dest.ends_with('/') { name } else { "" };
    let home = if dest.starts_with('/') { "" } else { home };
    let parts = [home, dest, name].map(|part| part.trim_matches('/'));
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_absolute_or_below_the_home_folder() {
        assert_eq!(place(None, "a", "root"), "root/a");
        assert_eq!(place(Some(""), "a", "root"), "root/a");
        assert_eq!(place(Some("b/c"), "a", "root"), "root/b/c");
        assert_eq!(place(Some("b/"), "a", "root"), "root/b/a");
        assert_eq!(place(Some("/usr/lib/"), "a", "root"), "usr/lib/a");
        assert_eq!(place(Some("/etc/passwd"), "a", "root"), "etc/passwd");
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
            add(&mut files, &with, "root").unwrap();
        }
        let archive = String::from_utf8_lossy(&files.archive().unwrap()).into_owned();
        for name in ["root/file", "root/with:colon", "root/named", "data/one", "data/below/two"] {
            assert!(archive.contains(name), "{name}");
        }
        for wrong in [path("missing"), path("file"), path("file:../x"), path("file:a/../x"), "/".into()] {
            assert!(add(&mut files, &wrong, "root").is_err(), "{wrong}");
        }
    }
}
