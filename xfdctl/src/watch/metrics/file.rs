// SPDX-License-Identifier: GPL-2.0
//! A file that is replaced whole.

use anyhow::{ensure, Context};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// `path` has this text, for everybody to read: whoever opens it finds all of the old one or all of the new one, also
/// after a crash.
///
/// # Errors
///
/// It is something else than a file, or cannot be written; then it is as it was.
pub fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Ok(old) = fs::symlink_metadata(path) {
        ensure!(old.is_file(), "it is there, and no ordinary file");
    }
    let name = path.file_name().context("it has no name")?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    // A collector of *.prom does not look at it.
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
    fn the_old_one_stays_as_it_is_for_its_readers() {
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
    fn what_is_no_file_is_not_replaced() {
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
