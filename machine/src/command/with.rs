// SPDX-License-Identifier: GPL-2.0
//! `--with SRC[:DEST]`: copies files of the host into the guest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};

use crate::piece::initramfs::Initramfs;
use crate::workshop::{bytes, Usage};

/// Copies a file or folder into a guest with so much memory: below `home`, or to `DEST`.
///
/// # Errors
///
/// It does not exist, cannot be read, is larger than the memory, or neither a file nor a folder; the guest already has
/// something there; `DEST` contains `..`.
pub fn add(files: &mut Initramfs, with: &str, home: &str, memory_mib: u32) -> Result<()> {
    copy(files, with, home, memory_mib).map_err(|error| Usage(format!("--with {with}: {error:#}")).into())
}

fn copy(files: &mut Initramfs, with: &str, home: &str, memory_mib: u32) -> Result<()> {
    let (source, dest) = split(with);
    let source = source.canonicalize().with_context(|| format!("cannot find {}", source.display()))?;
    let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let at = place(dest, &name, home);
    ensure!(!at.split('/').any(|part| part == ".."), "DEST must not contain `..`");
    ensure!(!at.is_empty() && !files.has(&at), "the guest already has /{at}");
    let kind = source.metadata()?;
    ensure!(kind.is_file() || kind.is_dir(), "{} is neither a file nor a folder", source.display());
    // Its files are in memory, here and there.
    let size = size(&source, u64::from(memory_mib) << 20)?;
    ensure!(size >> 20 < memory_mib.into(), "{} and more do not fit into the guest's {memory_mib} MiB", bytes(size));
    files.copy(&at, &source)
}

/// The size of a file, or of the files in a folder, if it is below `limit`; else something that is not.
fn size(source: &Path, limit: u64) -> Result<u64> {
    let mut size = 0;
    let mut todo = vec![source.to_path_buf()];
    while let Some(path) = todo.pop().filter(|_| size < limit) {
        let kind = path.symlink_metadata().with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            for entry in fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))? {
                todo.push(entry?.path());
            }
        } else if kind.is_file() {
            size += kind.len();
        }
    }
    Ok(size)
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
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

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
            add(&mut files, &with, "root", 1).unwrap();
        }
        let archive = String::from_utf8_lossy(&files.archive().unwrap()).into_owned();
        for name in ["root/file", "root/with:colon", "root/named", "data/one", "data/below/two"] {
            assert!(archive.contains(name), "{name}");
        }
        for wrong in [path("missing"), path("file"), path("file:../x"), path("file:a/../x"), "/".into()] {
            assert!(add(&mut files, &wrong, "root", 1).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_copied_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        fs::create_dir_all(path("tree/below")).unwrap();
        fs::File::create(path("tree/below/large")).unwrap().set_len(1 << 40).unwrap();
        fs::create_dir(path("odd")).unwrap();
        fs::write(path("odd").join(OsStr::from_bytes(b"\xff")), "").unwrap();
        fs::create_dir(path("link")).unwrap();
        std::os::unix::fs::symlink(OsStr::from_bytes(b"\xff"), path("link/l")).unwrap();
        for (name, why) in [
            ("fifo", "neither a file nor a folder"),
            ("tree/below/large", "do not fit into the guest's 64 MiB"),
            ("tree", "do not fit"),
            ("odd", "not UTF-8"),
            ("link", "not UTF-8"),
        ] {
            let error = add(&mut Initramfs::default(), path(name).to_str().unwrap(), "root", 64).unwrap_err();
            assert!(error.is::<Usage>() && error.to_string().contains(why), "{error}");
        }
        let error = add(&mut Initramfs::default(), "/dev/zero", "root", 64).unwrap_err().to_string();
        assert!(error.contains("neither a file"), "{error}");
    }
}
