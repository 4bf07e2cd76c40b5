// SPDX-License-Identifier: GPL-2.0
//! `--out FOLDER`: the files that the program wrote come back as an archive (cpio, format newc) and are unpacked here.
//! The guest may send anything, so nothing in the archive is trusted. The crate cpio is not used, because it refuses
//! names that are not UTF-8.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{symlink, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use anyhow::{ensure, Context, Result};
use nix::unistd::{access, AccessFlags};

use crate::workshop::Usage;

/// Packs what the program wrote. Files that came with the job are older: their time is the epoch.
pub const COLLECT: &str =
    "cd /work && find . -mindepth 1 -newer /job/start -print0 | cpio -0 -o -H newc 2>/dev/null\n";
/// The size of an entry's header, in bytes: a magic number and 13 numbers of 8 digits.
const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";
/// The longest path in Linux, with its zero byte. A link's target is no longer.
const LONGEST: u32 = 4096;
/// The file type bits of a mode, cpio(5), and three types.
const TYPE: u32 = 0o170000;
const FOLDER: u32 = 0o040000;
const FILE: u32 = 0o100000;
const LINK: u32 = 0o120000;

/// Creates the folder, before anything runs whose files would be lost.
///
/// # Errors
///
/// [`Usage`]: it cannot be created or written.
pub fn prepare(folder: &Path) -> Result<()> {
    let writable = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        Ok(access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
    };
    writable().map_err(|e| Usage(format!("--out {}: cannot write there: {e}", folder.display())).into())
}

struct Entry {
    name: PathBuf,
    mode: u32,
    size: u32,
    /// Device and inode of a file with several names.
    linked: Option<[u32; 3]>,
}

/// The next entry; its content follows. `None`: the end.
fn entry(archive: &mut impl Read) -> Result<Option<Entry>> {
    let mut header = [0; HEADER];
    archive.read_exact(&mut header)?;
    let (magic, numbers) = header.split_at(MAGIC.len());
    ensure!(magic == MAGIC, "no header");
    let number = |n: usize| -> Result<u32> {
        let digits = std::str::from_utf8(&numbers[8 * n..8 * n + 8])?;
        u32::from_str_radix(digits, 16).with_context(|| format!("{digits:?} is not a number"))
    };
    let (inode, mode, links, size) = (number(0)?, number(1)?, number(4)?, number(6)?);
    let length = number(11)?;
    ensure!((1..=LONGEST).contains(&length), "a name of {length} bytes");
    let mut name = vec![0; length as usize];
    archive.read_exact(&mut name)?;
    ensure!(name.pop() == Some(0), "a name without its end");
    skip_padding(archive, HEADER + length as usize)?;
    if name == TRAILER {
        return Ok(None);
    }
    let linked = (mode & TYPE == FILE && links > 1).then_some([number(7)?, number(8)?, inode]);
    let name = name.strip_prefix(b"./").unwrap_or(&name).to_vec();
    Ok(Some(Entry { name: OsString::from_vec(name).into(), mode, size, linked }))
}

/// Headers and contents are multiples of 4 bytes.
fn skip_padding(archive: &mut impl Read, bytes: usize) -> Result<()> {
    Ok(archive.read_exact(&mut [0; 3][..bytes.wrapping_neg() % 4])?)
}

/// Whether a path is relative and never leaves its folder.
fn is_below(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Unpacks an archive into the folder `to`, and returns the number of files. A file that cannot be written does not
/// keep the others from it.
///
/// # Errors
///
/// The archive is malformed, or names a file outside `to`: what comes before is unpacked. A file cannot be written.
pub fn unpack(archive: &mut impl Read, to: &Path) -> Result<usize> {
    let mut links = HashMap::new();
    let (mut number, mut failed) = (0, None);
    while let Some(entry) = entry(archive).context("what the guest sent is malformed or cut short")? {
        let shown = entry.name.display();
        ensure!(is_below(&entry.name), "the guest sent a file with the invalid name {shown}");
        let mut content = archive.by_ref().take(entry.size.into());
        match place(&entry, to).and_then(|path| write(&entry, &path, &mut content, &mut links)) {
            Ok(()) => number += usize::from(entry.mode & TYPE == FILE),
            Err(e) => failed = failed.or(Some(e.context(format!("cannot write {shown}")))),
        }
        io::copy(&mut content, &mut io::sink())?;
        ensure!(content.limit() == 0, "what the guest sent is cut short, in {shown}");
        skip_padding(archive, entry.size as usize)?;
    }
    failed.map_or(Ok(number), Err)
}

/// Where the entry belongs. A symbolic link that was unpacked before must not lead outside.
fn place(entry: &Entry, to: &Path) -> Result<PathBuf> {
    let mut folder = to.to_path_buf();
    for part in entry.name.parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        match DirBuilder::new().create(&folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e.into()),
            _ => {}
        }
        ensure!(folder.canonicalize()?.starts_with(to.canonicalize()?), "the guest sent it through a link");
    }
    Ok(to.join(&entry.name))
}

fn write(entry: &Entry, path: &Path, content: &mut impl Read, links: &mut HashMap<[u32; 3], PathBuf>) -> Result<()> {
    let kind = entry.mode & TYPE;
    if kind == FOLDER {
        return Ok(fs::create_dir_all(path)?);
    }
    if kind != FILE && kind != LINK {
        return Ok(());
    }
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
    }
    if kind == LINK {
        ensure!(entry.size < LONGEST, "a link with a target of {} bytes", entry.size);
        let mut target = Vec::new();
        content.read_to_end(&mut target)?;
        return Ok(symlink(OsString::from_vec(target), path)?);
    }
    // Of a file with several names, the last one in the archive has the content.
    let other = entry.linked.and_then(|id| links.get(&id));
    if let Some(other) = other {
        fs::hard_link(other, path)?;
    }
    if other.is_none() || entry.size > 0 {
        let mut options = File::options();
        options.write(true).custom_flags(nix::libc::O_NOFOLLOW);
        let mut file = if other.is_some() { options.truncate(true) } else { options.create_new(true) }.open(path)?;
        io::copy(content, &mut file)?;
        file.set_permissions(Permissions::from_mode(entry.mode & 0o755 | 0o600))?;
    }
    if let Some(id) = entry.linked {
        links.insert(id, path.to_path_buf());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;

    fn add(archive: &mut Vec<u8>, name: &[u8], mode: u32, links: u32, content: &[u8]) {
        let mut header = MAGIC.to_vec();
        for number in [7, mode, 0, 0, links, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0] {
            header.extend(format!("{number:08x}").into_bytes());
        }
        header.extend(name);
        header.push(0);
        for part in [&header[..], content] {
            archive.extend(part);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }

    fn packed(files: &[(&str, u32, &str)]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, mode, content) in files {
            add(&mut archive, name.as_bytes(), *mode, 1, content.as_bytes());
        }
        add(&mut archive, TRAILER, 0, 1, b"");
        archive
    }

    fn unpacked(archive: &[u8], to: &Path) -> Result<usize> {
        unpack(&mut &*archive, to)
    }

    #[test]
    fn files_from_the_guest_are_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let archive =
            packed(&[("./a", 0o040755, ""), ("./a/b", 0o100755, "x"), ("./l", 0o120777, "a/b"), ("p", 0o010644, "")]);
        assert_eq!(unpacked(&archive, dir.path()).unwrap(), 1);
        assert_eq!(fs::read_to_string(dir.path().join("l")).unwrap(), "x");
        assert_eq!(fs::metadata(dir.path().join("a/b")).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(!dir.path().join("p").exists());
        // Once more, over the existing files.
        assert_eq!(unpacked(&archive, dir.path()).unwrap(), 1);
    }

    #[test]
    fn nothing_is_written_outside_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        fs::create_dir(&inside).unwrap();
        for archive in [
            packed(&[("../x", 0o100644, "1")]),
            packed(&[("/x", 0o100644, "1")]),
            packed(&[("l", 0o120777, ".."), ("l/x", 0o100644, "1")]),
            packed(&[("l", 0o120777, ".."), ("l/x/y", 0o100644, "1")]),
            packed(&[("", 0o100644, "1")]),
        ] {
            assert!(unpacked(&archive, &inside).is_err());
        }
        // A file's second name must not be written through a link that has taken the place of the first.
        let mut archive = Vec::new();
        add(&mut archive, b"a", 0o100644, 2, b"");
        add(&mut archive, b"a", 0o120777, 1, b"../x");
        add(&mut archive, b"b", 0o100644, 2, b"1");
        add(&mut archive, TRAILER, 0, 1, b"");
        assert!(unpacked(&archive, &inside).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn half_an_archive_is_an_error_at_each_byte() {
        let dir = tempfile::tempdir().unwrap();
        let archive = packed(&[("a", 0o100644, "12345"), ("l", 0o120777, "a")]);
        for bytes in 0..archive.len() {
            let error = unpacked(&archive[..bytes], dir.path()).unwrap_err();
            assert!(format!("{error:#}").contains("cut short") || bytes > 0, "{bytes}: {error:#}");
        }
        assert_eq!(unpacked(&archive, dir.path()).unwrap(), 1);
        let mut odd = archive.clone();
        odd[94..102].copy_from_slice(b"ffffffff");
        assert!(unpacked(&odd, dir.path()).is_err());
    }

    #[test]
    fn all_names_of_a_file_have_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let mut archive = Vec::new();
        for (name, content) in [("a", ""), ("b", ""), ("c", "x")] {
            add(&mut archive, name.as_bytes(), 0o100644, 3, content.as_bytes());
        }
        add(&mut archive, b"\xff\n", 0o100644, 1, b"y");
        add(&mut archive, TRAILER, 0, 1, b"");
        assert_eq!(unpacked(&archive, dir.path()).unwrap(), 4);
        for name in ["a", "b", "c"] {
            assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), "x");
            assert_eq!(dir.path().join(name).metadata().unwrap().nlink(), 3);
        }
        assert_eq!(fs::read(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff\n"))).unwrap(), b"y");
    }

    #[test]
    fn one_file_that_cannot_be_written_does_not_keep_back_the_others() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b")).unwrap();
        let archive = packed(&[("a", 0o100644, "1"), ("b", 0o100644, "12345"), ("c", 0o100644, "1")]);
        let error = format!("{:#}", unpacked(&archive, dir.path()).unwrap_err());
        assert!(error.starts_with("cannot write b: ") && dir.path().join("c").exists(), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        prepare(&dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for odd in [dir.path().join("file"), "/proc/none".into(), "/proc/sys".into()] {
            assert!(prepare(&odd).unwrap_err().is::<Usage>(), "{}", odd.display());
        }
    }
}
