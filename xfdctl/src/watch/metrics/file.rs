// SPDX-License-Identifier: GPL-2.0
//! A file that is replaced atomically.

use anyhow::{ensure, Context};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Replaces the contents of `path`, which everybody may read. A reader finds either the complete old text or the
/// complete new one, even after a crash.
///
/// # Errors
///
/// Fails if `path` is not a regular file or cannot be written; it is then unchanged.
pub fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Ok(old) = fs::symlink_metadata(path) {
        ensure!(old.is_file(), "it exists and is not a regular file");
    }
    let name = path.file_name().context("it has no name")?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    // The collector reads only *.prom.
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    let mut new = tempfile::Builder::new().prefix(&prefix).suffix(".new").tempfile_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(Permissions::from_mode(0o644))?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    Ok(fs::File::open(folder)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{symlink, MetadataExt};

    #[test]
    fn readers_of_the_old_file_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("xfd.prom");
        replace(&path, "old").unwrap();
        let old = fs::File::open(&path).unwrap();
        replace(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::io::read_to_string(old).unwrap(), "old");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_regular_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [link, fifo] = ["link", "fifo"].map(|name| folder.path().join(name));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink(&fifo, &link).unwrap();
        for path in [&link, &fifo, folder.path(), Path::new("/")] {
            assert!(replace(path, "new").is_err(), "{}", path.display());
        }
        assert!(link.is_symlink());
        assert!(replace(&folder.path().join("none/file"), "new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
