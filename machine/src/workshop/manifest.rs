// SPDX-License-Identifier: GPL-2.0
//! Manifests: the files of a component as they were built, so that missing and truncated files are noticed before use.
//!
//! Before use, size, kind, execute permission and modification time are compared, and the content only if the time
//! differs. A toolchain root has fifty thousand files. Those that only a few steps read are in a list of their own,
//! which these steps compare.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use sha2::{Digest, Sha256};

/// The manifest's files in the component. Each ends with [`END`] and a zero byte.
const LISTS: [&str; 2] = [".manifest", ".manifest.late"];
/// A file in a component that must not be used again: it says what is wrong.
const DAMAGED: &str = ".damaged";
/// The folders of the second list: source code, and what only compilers read.
const LATE: [&str; 4] = ["root/usr/src/", "root/usr/share/", "root/usr/include/", "tree/"];
/// Folders whose contents change during use: apt's lists, and mount points.
const CHANGING: [&str; 8] =
    ["root/var/", "root/tmp/", "root/run/", "root/dev/", "root/proc/", "root/sys/", "root/xfd/", "root/root/"];
const CHANGING_FILES: [&str; 2] = ["root/etc/resolv.conf", "root/etc/hosts"];
const END: &[u8] = b"end";
/// A component without a manifest, built by an earlier version, gets one. Its content is hashed up to this size in
/// bytes.
const ADOPT_CONTENT: u64 = 64 << 20;
/// In place of a hash: the content was not read, or cannot be read.
const UNREAD: &str = "-";

/// Which files to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that any use of the component may read.
    Usual,
    /// Those that only a few steps read.
    Late,
}

/// How thoroughly to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Read content only where the modification time differs.
    Quick,
    /// Read all content.
    Content,
}

/// A file that is not as it was built.
#[derive(Debug)]
pub struct Damage {
    pub path: PathBuf,
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.what)
    }
}

/// The error that a component in use is damaged; it is built again when it is needed the next time.
#[derive(Debug)]
pub struct Damaged(pub String);

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: char,
    size: u64,
    /// Modification time, in nanoseconds.
    changed: i128,
    hash: String,
    path: PathBuf,
}

/// Writes the manifest of the component in `dir`, which was just built.
pub fn write(dir: &Path) -> Result<()> {
    write_lists(dir, &entries(dir)?, true)
}

/// Whether `dir` has a manifest.
pub fn is_in(dir: &Path) -> bool {
    LISTS.iter().any(|list| dir.join(list).is_file())
}

/// The first damage found in the component in `dir`, if any.
pub fn damage(dir: &Path, which: Which, how: How) -> Result<Option<Damage>> {
    match fs::read_to_string(dir.join(DAMAGED)) {
        Ok(what) => return Ok(Some(Damage { path: PathBuf::new(), what })),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", dir.join(DAMAGED).display())),
    }
    let name = LISTS[which as usize];
    let broken = || Some(Damage { path: name.into(), what: "is truncated".into() });
    let bytes = match fs::read(dir.join(name)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            if is_in(dir) {
                return Ok(Some(Damage { path: name.into(), what: "is missing".into() }));
            }
            let entries = entries(dir)?;
            let size: u64 = entries.iter().map(|entry| entry.size).sum();
            write_lists(dir, &entries, size <= ADOPT_CONTENT)?;
            return Ok(None);
        }
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", dir.join(name).display())),
    };
    let Some(mut entries) = parse(&bytes) else { return Ok(broken()) };
    let mut touched = false;
    for entry in &mut entries {
        match compare(dir, entry, how) {
            Same::Yes => {}
            Same::Touched(changed) => {
                entry.changed = changed;
                touched = true;
            }
            Same::No(what) => return Ok(Some(Damage { path: entry.path.clone(), what })),
        }
    }
    // The cache was copied: store the new times, so that the content need not be read again.
    if touched {
        write_list(dir, name, &entries)?;
    }
    Ok(None)
}

/// Marks the component in `dir` as damaged, whatever its manifest says.
pub fn mark(dir: &Path, damage: &Damage) -> Result<()> {
    let path = dir.join(DAMAGED);
    fs::write(&path, damage.to_string()).with_context(|| format!("cannot write {}", path.display()))
}

enum Same {
    Yes,
    /// The same content with this other time.
    Touched(i128),
    No(String),
}

fn compare(dir: &Path, entry: &Entry, how: How) -> Same {
    let path = dir.join(&entry.path);
    let now = match fs::symlink_metadata(&path) {
        Ok(now) => now,
        Err(e) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => {
            return Same::No("is missing".into())
        }
        Err(e) => return Same::No(format!("cannot be read: {e}")),
    };
    match (entry.kind, kind(&now)) {
        ('x', 'f') => return Same::No("is no longer executable".into()),
        // The user who copied the cache may have another umask.
        ('f', 'x') => {}
        (was, is) if was != is => return Same::No("is of a different kind".into()),
        ('d', _) => return Same::Yes,
        _ => {}
    }
    if now.size() != entry.size {
        return Same::No(format!("has {} bytes, not {}", now.size(), entry.size));
    }
    let same_time = changed(&now) == entry.changed;
    if same_time && how == How::Quick {
        return Same::Yes;
    }
    match (entry.hash.as_str(), hash(&path, &now)) {
        (UNREAD, _) | (_, None) => {}
        (was, Some(is)) if was == is => {}
        _ => return Same::No("has different content".into()),
    }
    if same_time {
        Same::Yes
    } else {
        Same::Touched(changed(&now))
    }
}

/// `d`irectory, symbolic `l`ink, e`x`ecutable, other `f`ile; devices and the like are `o`.
fn kind(metadata: &Metadata) -> char {
    let of = metadata.file_type();
    match () {
        () if of.is_dir() => 'd',
        () if of.is_symlink() => 'l',
        () if !of.is_file() => 'o',
        () if metadata.mode() & 0o111 != 0 => 'x',
        () => 'f',
    }
}

fn changed(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// The hash of the content; `None` if it cannot be read: some files of a root belong to users of a namespace.
fn hash(path: &Path, metadata: &Metadata) -> Option<String> {
    let mut state = Sha256::new();
    if metadata.is_symlink() {
        state.update(fs::read_link(path).ok()?.as_os_str().as_bytes());
    } else {
        let mut file = File::open(path).ok()?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer).ok()? {
                0 => break,
                n => state.update(&buffer[..n]),
            }
        }
    }
    Some(state.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect())
}

fn list_of(path: &Path) -> usize {
    usize::from(LATE.iter().any(|late| path.as_os_str().as_bytes().starts_with(late.as_bytes())))
}

/// Everything in `dir` that does not change during use, without hashes.
fn entries(dir: &Path) -> Result<Vec<Entry>> {
    let own: HashSet<&OsStr> = LISTS.iter().chain(&[DAMAGED]).map(OsStr::new).collect();
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(folder) = todo.pop() {
        let listed = match fs::read_dir(dir.join(&folder)) {
            Ok(listed) => listed,
            Err(e) if e.kind() == ErrorKind::PermissionDenied => continue,
            Err(e) => return Err(e).with_context(|| format!("cannot list {}", dir.join(&folder).display())),
        };
        for entry in listed {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let metadata = entry.metadata()?;
            let kind = kind(&metadata);
            if kind == 'o' || own.contains(path.as_os_str()) || CHANGING_FILES.iter().any(|f| path == Path::new(f)) {
                continue;
            }
            if kind == 'd' {
                let below = path.join("");
                if !CHANGING.iter().any(|changing| below.as_os_str() == *changing) {
                    todo.push(path.clone());
                }
            }
            let size = if kind == 'd' { 0 } else { metadata.size() };
            found.push(Entry { kind, size, changed: changed(&metadata), hash: UNREAD.into(), path });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn write_lists(dir: &Path, entries: &[Entry], content: bool) -> Result<()> {
    let mut lists = [Vec::new(), Vec::new()];
    for entry in entries {
        let mut entry = entry.clone();
        if content && entry.kind != 'd' {
            let path = dir.join(&entry.path);
            entry.hash = hash(&path, &fs::symlink_metadata(&path)?).unwrap_or(entry.hash);
        }
        lists[list_of(&entry.path)].push(entry);
    }
    // Write the first list last: a component that has it has both.
    for (name, list) in LISTS.iter().zip(&lists).rev() {
        write_list(dir, name, list)?;
    }
    Ok(())
}

fn write_list(dir: &Path, name: &str, entries: &[Entry]) -> Result<()> {
    let mut bytes = Vec::new();
    for Entry { kind, size, changed, hash, path } in entries {
        write!(bytes, "{kind} {size} {changed} {hash} ")?;
        bytes.extend(path.as_os_str().as_bytes());
        bytes.push(0);
    }
    bytes.extend(END);
    bytes.push(0);
    let (new, path) = (dir.join(format!("{name}.{}", std::process::id())), dir.join(name));
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, &path));
    written.inspect_err(|_| drop(fs::remove_file(&new))).with_context(|| format!("cannot write {}", path.display()))
}

fn parse(bytes: &[u8]) -> Option<Vec<Entry>> {
    let whole = bytes.strip_suffix(&[0])?.strip_suffix(END)?;
    whole.split(|byte| *byte == 0).filter(|line| !line.is_empty()).map(parse_entry).collect()
}

fn parse_entry(line: &[u8]) -> Option<Entry> {
    let mut fields = line.splitn(5, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(fields.next()?).ok();
    let (kind, size, changed) = (word()?, word()?, word()?);
    let hash = word()?.to_owned();
    let path = PathBuf::from(std::ffi::OsString::from_vec(fields.next()?.to_vec()));
    Some(Entry { kind: kind.chars().next()?, size: size.parse().ok()?, changed: changed.parse().ok()?, hash, path })
}

/// Fails with [`Damaged`] if files that only a few steps read are damaged; `name` is the component's.
pub fn whole(dir: &Path, name: &str) -> Result<()> {
    if let Some(damage) = damage(dir, Which::Late, How::Quick)? {
        mark(dir, &damage)?;
        bail!(Damaged(format!("{name}: {damage}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{symlink, PermissionsExt};
    use std::time::{Duration, SystemTime};

    fn piece() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["tree/include", "root/usr/bin", "root/usr/src", "root/var/lib", "root/proc"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["vmlinuz", "tree/include/a b\nc.h", "root/usr/bin/cc", "root/usr/src/x.rs", "root/var/lib/list"]
        {
            fs::write(dir.path().join(file), "content").unwrap();
        }
        fs::set_permissions(dir.path().join("root/usr/bin/cc"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("cc", dir.path().join("root/usr/bin/gcc")).unwrap();
        write(dir.path()).unwrap();
        dir
    }

    fn found(dir: &Path, which: Which, how: How) -> Option<String> {
        damage(dir, which, how).unwrap().map(|damage| damage.to_string())
    }

    fn quick(dir: &Path) -> Option<String> {
        found(dir, Which::Usual, How::Quick)
    }

    fn at(dir: &Path, file: &str, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options().write(true).open(dir.join(file)).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn an_unchanged_piece_is_intact() {
        let dir = piece();
        for (which, how) in
            [Which::Usual, Which::Late].into_iter().flat_map(|w| [How::Quick, How::Content].map(|h| (w, h)))
        {
            assert_eq!(found(dir.path(), which, how), None);
        }
        assert!(whole(dir.path(), "p").is_ok());
    }

    #[test]
    fn missing_truncated_and_non_executable_files_are_named() {
        let dir = piece();
        fs::remove_file(dir.path().join("root/usr/bin/gcc")).unwrap();
        assert_eq!(quick(dir.path()).unwrap(), "root/usr/bin/gcc is missing");
        let dir = piece();
        fs::write(dir.path().join("vmlinuz"), "con").unwrap();
        assert_eq!(quick(dir.path()).unwrap(), "vmlinuz has 3 bytes, not 7");
        let dir = piece();
        fs::set_permissions(dir.path().join("root/usr/bin/cc"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(quick(dir.path()).unwrap(), "root/usr/bin/cc is no longer executable");
        let dir = piece();
        fs::remove_dir(dir.path().join("root/proc")).unwrap();
        assert_eq!(quick(dir.path()).unwrap(), "root/proc is missing");
        let dir = piece();
        fs::remove_file(dir.path().join("vmlinuz")).unwrap();
        fs::create_dir(dir.path().join("vmlinuz")).unwrap();
        assert_eq!(quick(dir.path()).unwrap(), "vmlinuz is of a different kind");
    }

    #[test]
    fn content_is_compared_if_the_time_differs_or_on_request() {
        let dir = piece();
        fs::write(dir.path().join("vmlinuz"), "CONTENT").unwrap();
        at(dir.path(), "vmlinuz", 1);
        assert_eq!(quick(dir.path()).unwrap(), "vmlinuz has different content");

        let dir = piece();
        at(dir.path(), "vmlinuz", 1);
        let before = fs::read(dir.path().join(LISTS[0])).unwrap();
        assert_eq!(quick(dir.path()), None);
        let after = fs::read(dir.path().join(LISTS[0])).unwrap();
        assert_ne!(before, after, "the new time is kept");
        // With the old time, only the content shows the damage.
        fs::write(dir.path().join("vmlinuz"), "CONTENT").unwrap();
        at(dir.path(), "vmlinuz", 1);
        assert_eq!(quick(dir.path()), None);
        assert_eq!(found(dir.path(), Which::Usual, How::Content).unwrap(), "vmlinuz has different content");
    }

    #[test]
    fn source_code_is_compared_by_the_steps_that_read_it() {
        for file in ["root/usr/src/x.rs", "tree/include/a b\nc.h"] {
            let dir = piece();
            fs::write(dir.path().join(file), "").unwrap();
            assert_eq!(quick(dir.path()), None);
            let error = whole(dir.path(), "kernel").unwrap_err();
            assert!(error.is::<Damaged>() && error.to_string().ends_with("has 0 bytes, not 7"), "{error}");
            assert!(quick(dir.path()).unwrap().contains("has 0 bytes"), "it stays damaged");
        }
    }

    #[test]
    fn new_files_and_files_that_change_in_use_are_not_damage() {
        let dir = piece();
        fs::write(dir.path().join("root/var/lib/list"), "longer than before").unwrap();
        fs::write(dir.path().join("root/usr/bin/new"), "").unwrap();
        assert_eq!(quick(dir.path()), None);
    }

    #[test]
    fn a_truncated_or_missing_list_is_damage() {
        for list in LISTS {
            let dir = piece();
            let path = dir.path().join(list);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            let which = if list == LISTS[0] { Which::Usual } else { Which::Late };
            assert!(found(dir.path(), which, How::Quick).unwrap().ends_with("is truncated"));
            fs::remove_file(&path).unwrap();
            assert!(found(dir.path(), which, How::Quick).unwrap().ends_with("is missing"));
        }
    }

    #[test]
    fn a_piece_of_an_earlier_version_gets_a_manifest() {
        let dir = piece();
        for list in LISTS {
            fs::remove_file(dir.path().join(list)).unwrap();
        }
        assert_eq!(quick(dir.path()), None);
        fs::write(dir.path().join("vmlinuz"), "").unwrap();
        assert_eq!(quick(dir.path()).unwrap(), "vmlinuz has 0 bytes, not 7");
    }
}
