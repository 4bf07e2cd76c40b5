// SPDX-License-Identifier: GPL-2.0
//! The cache: the folder for everything that is generated.
//!
//! A component (`Piece`) is built in a temporary folder and renamed when it is complete, so whatever has its final name
//! is complete. Each component has a lock: exclusive while it is being built or removed, shared while it is in use. Before
//! its first use in a run a component is compared with its manifest; if it is damaged, it is built again. The cache has
//! a lock, too: every run holds it shared, and a run that removes components holds it exclusively.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::{bail, Context, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::workshop::bytes;
use crate::workshop::child;
use crate::workshop::manifest::{self, How, Which};
use crate::workshop::namespace::remove_tree;
use crate::workshop::progress::note;

/// The lock of the cache as a whole.
const IN_USE: &str = "in-use";
/// A file in the folder of locks. It marks the [`FOLDERS`] as the cache's, whatever else is beside them.
const OURS: &str = "xfd-cache";
/// Folders that are not components.
const FOLDERS: [&str; 4] = ["lock", "log", "tmp", "build"];

/// The cache.
pub struct Cache {
    root: PathBuf,
    in_use: Flock<File>,
    /// The components that this run has compared with their manifests.
    compared: Mutex<BTreeSet<String>>,
}

/// A complete component; it is not removed while this value lives.
pub struct Piece {
    name: String,
    path: PathBuf,
    _in_use: Flock<File>,
}

/// A temporary folder, removed when this value is dropped.
pub struct Scratch {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: Flock<File>,
}

impl Scratch {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path);
        let _ = fs::remove_file(&self.lock_path);
    }
}

impl Piece {
    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For the steps that read source code or headers of the component: fails if these are not as they were built. The
    /// next run builds the component again.
    ///
    /// # Errors
    ///
    /// [`manifest::Damaged`].
    pub fn whole(&self) -> Result<()> {
        manifest::whole(&self.path, &self.name)
    }
}

/// A folder of the cache that can be removed.
#[derive(Debug)]
pub struct Stored {
    /// The component's name, or `build/` and the workspace's name, or `log`.
    pub name: String,
    pub path: PathBuf,
    pub made: SystemTime,
}

impl Cache {
    /// Opens the cache, and removes what interrupted runs left unfinished.
    ///
    /// # Errors
    ///
    /// The folder cannot be created or written, or it has a `tmp` or the like that is not a cache's.
    pub fn open(root: &Path) -> Result<Cache> {
        let ours = root.join("lock").join(OURS);
        // Earlier versions created these three folders, but no mark.
        let is_ours = ours.exists() || ["lock", "log", "tmp"].iter().all(|part| root.join(part).is_dir());
        if let Some(part) = FOLDERS.iter().find(|part| !is_ours && root.join(part).exists()) {
            bail!(
                "{} already has a folder {part} that is not a cache's: set XFD_CACHE to a new folder",
                root.display()
            );
        }
        let create = || -> std::io::Result<()> {
            fs::create_dir_all(root.join("lock"))?;
            File::create(&ours)?;
            ["log", "tmp"].iter().try_for_each(|part| fs::create_dir_all(root.join(part)))
        };
        create().with_context(|| {
            format!("cannot write to {}; set XFD_CACHE to a folder that can be written", root.display())
        })?;
        let root = root.canonicalize()?;
        let path = root.join("lock").join(IN_USE);
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let in_use = lock(file, FlockArg::LockShared, "cache")?;
        let cache = Cache { root, in_use, compared: Mutex::default() };
        for entry in fs::read_dir(cache.root.join("tmp"))? {
            let entry = entry?;
            let lock = cache.lock_file(&entry.file_name().to_string_lossy())?;
            if let Ok(_lock) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
                remove_tree(&entry.path())?;
            }
        }
        Ok(cache)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Fails if the disk does not have the space for `what`, which takes about `size` bytes.
    ///
    /// # Errors
    ///
    /// There is not enough space.
    pub fn room(&self, what: &str, size: u64) -> Result<()> {
        let left = child::left(&self.root)?;
        if left < size {
            bail!(
                "{what} takes about {}, but {} has only {} left; {}",
                bytes(size),
                self.root.display(),
                bytes(left),
                child::NO_SPACE
            );
        }
        Ok(())
    }

    /// The path of the log `name`, for the full output of the commands of one step.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("log").join(format!("{name}.log"))
    }

    /// A folder that is kept between runs (for incremental builds), created if needed. It may be changed only as long
    /// as the lock, from [`Cache::exclusive`], is held.
    pub fn workspace(&self, _lock: &Flock<File>, name: &str) -> Result<PathBuf> {
        let dir = self.root.join("build").join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// Waits for and takes the lock called `name`.
    pub fn exclusive(&self, name: &str) -> Result<Flock<File>> {
        lock(self.lock_file(name)?, FlockArg::LockExclusive, name)
    }

    /// The first of `name`, `name-2`, `name-3`… that no other run uses; it is reserved while the returned lock lives.
    pub fn free_name(&self, name: &str) -> Result<(String, Flock<File>)> {
        for number in 1.. {
            let candidate = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            match Flock::lock(self.lock_file(&format!("name-{candidate}"))?, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok((candidate, lock)),
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => {}
                Err((_, e)) => return Err(e).context("cannot lock in the cache"),
            }
        }
        bail!("no free name for {name}")
    }

    /// The component `name` with content key `key`, if it is there and intact.
    pub fn find(&self, name: &str, key: &str) -> Result<Option<Piece>> {
        let (id, path) = (format!("{name}-{key}"), self.root.join(name).join(key));
        let in_use = lock(self.lock_file(&id)?, FlockArg::LockShared, name)?;
        if !path.is_dir() {
            return Ok(None);
        }
        let known = || self.compared.lock().unwrap_or_else(|e| e.into_inner());
        if !known().contains(&id) {
            if let Some(damage) = manifest::damage(&path, Which::Usual, How::Quick)? {
                note(&format!("{name}: damaged, building it again: {damage}"));
                return Ok(None);
            }
            known().insert(id);
        }
        Ok(Some(Piece { name: name.to_owned(), path, _in_use: in_use }))
    }

    /// The component `name` with content key `key`. If it is missing or damaged, `make` fills the folder that it is
    /// given, and other versions of the component that nobody uses are removed.
    ///
    /// # Errors
    ///
    /// Those of `make`; the component does not exist then.
    pub fn piece(&self, name: &str, key: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Piece> {
        if let Some(piece) = self.find(name, key)? {
            return Ok(piece);
        }
        let id = format!("{name}-{key}");
        let path = self.root.join(name).join(key);
        let in_work = lock(self.lock_file(&id)?, FlockArg::LockExclusive, name)?;
        if path.is_dir() && manifest::damage(&path, Which::Usual, How::Quick)?.is_some() {
            self.remove(&path)?;
        }
        if !path.is_dir() {
            let tmp = self.root.join("tmp").join(&id);
            remove_tree(&tmp)?;
            fs::create_dir_all(&tmp).with_context(|| format!("cannot create {}", tmp.display()))?;
            if let Err(e) = make(&tmp).and_then(|()| manifest::write(&tmp)) {
                remove_tree(&tmp)?;
                return Err(match child::is_full(&e) {
                    true => e.context(format!("cannot build {name} in {}", self.root.display())),
                    false => e,
                });
            }
            fs::create_dir_all(self.root.join(name))?;
            fs::rename(&tmp, &path).with_context(|| format!("cannot rename to {}", path.display()))?;
            self.remove_others(name, key)?;
        }
        drop(in_work);
        match self.find(name, key)? {
            Some(piece) => Ok(piece),
            None => bail!("{} was removed while it was being made", path.display()),
        }
    }

    /// Removes a folder of the cache in such a way that nobody finds half of it, even if this is interrupted.
    pub fn remove(&self, path: &Path) -> Result<()> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("removed-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let aside = self.root.join("tmp").join(&id);
        let lock_path = self.root.join("lock").join(&id);
        let _lock = lock(self.lock_file(&id)?, FlockArg::LockExclusive, &id)?;
        fs::rename(path, &aside).with_context(|| format!("cannot remove {}", path.display()))?;
        remove_tree(&aside)?;
        let _ = fs::remove_file(lock_path);
        Ok(())
    }

    /// Takes the cache for this run alone, until the returned value is dropped.
    ///
    /// # Errors
    ///
    /// Another run uses it.
    pub fn alone(&self) -> Result<Alone<'_>> {
        match self.in_use.relock(FlockArg::LockExclusiveNonblock) {
            Ok(()) => Ok(Alone(self)),
            Err(nix::errno::Errno::EWOULDBLOCK) => {
                // The attempt may have dropped the shared lock.
                self.in_use.relock(FlockArg::LockShared).context("cannot lock in the cache")?;
                bail!("another run uses {}: nothing can be removed until it has ended", self.root.display())
            }
            Err(e) => Err(e).context("cannot lock in the cache"),
        }
    }

    /// What the cache has: components, workspaces and logs. Anything else in its folder is not the cache's.
    pub fn stored(&self) -> Result<Vec<Stored>> {
        let mut found = Vec::new();
        for (name, path) in folders(&self.root)? {
            match name.as_str() {
                "log" => found.push(Stored { made: changed(&path)?, name, path }),
                "build" => {
                    for (name, path) in folders(&path)? {
                        found.push(Stored { name: format!("build/{name}"), made: changed(&path)?, path });
                    }
                }
                _ => {
                    for (key, path) in folders(&path)? {
                        let known = self.root.join("lock").join(format!("{name}-{key}")).exists();
                        if is_key(&key) && (known || manifest::is_in(&path)) {
                            found.push(Stored { name: name.clone(), made: changed(&path)?, path });
                        }
                    }
                }
            }
        }
        found.sort_by(|a, b| (&a.name, a.made).cmp(&(&b.name, b.made)));
        Ok(found)
    }

    /// A temporary folder, removed when the returned value is dropped.
    pub fn scratch(&self, name: &str) -> Result<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let lock_path = self.root.join("lock").join(&id);
        let lock = lock(self.lock_file(&id)?, FlockArg::LockExclusive, name)?;
        let path = self.root.join("tmp").join(&id);
        remove_tree(&path)?;
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Scratch { path, lock_path, _lock: lock })
    }

    fn remove_others(&self, name: &str, key: &str) -> Result<()> {
        for entry in fs::read_dir(self.root.join(name))? {
            let other = entry?.file_name().to_string_lossy().into_owned();
            if other == key {
                continue;
            }
            let id = format!("{name}-{other}");
            if let Ok(_lock) = Flock::lock(self.lock_file(&id)?, FlockArg::LockExclusiveNonblock) {
                remove_tree(&self.root.join(name).join(&other))?;
            }
        }
        Ok(())
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.root.join("lock").join(name.replace('/', "-"));
        File::create(&path).with_context(|| format!("cannot create {}", path.display()))
    }
}

/// The cache, while no other run uses it.
pub struct Alone<'a>(&'a Cache);

impl Alone<'_> {
    /// Removes what [`Cache::stored`] found.
    pub fn remove(&self, stored: &Stored) -> Result<()> {
        self.0.remove(&stored.path)?;
        match stored.name.as_str() {
            "log" => {
                fs::create_dir(&stored.path).with_context(|| format!("cannot create {}", stored.path.display()))?
            }
            name => {
                let key = stored.path.file_name().unwrap_or_default().to_string_lossy();
                let _ = fs::remove_file(self.0.root.join("lock").join(format!("{name}-{key}")));
                // This fails if something else is in the folder, which then stays.
                let _ = stored.path.parent().map(fs::remove_dir);
            }
        }
        Ok(())
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        let _ = self.0.in_use.relock(FlockArg::LockShared);
    }
}

/// The folders in `dir`, without symbolic links, sorted.
fn folders(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        if let (true, Ok(name)) = (entry.file_type()?.is_dir(), entry.file_name().into_string()) {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn changed(path: &Path) -> Result<SystemTime> {
    Ok(fs::metadata(path)?.modified()?)
}

/// Whether a folder's name is a content key.
fn is_key(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn lock(file: File, how: FlockArg, name: &str) -> Result<Flock<File>> {
    let now = match how {
        FlockArg::LockShared => FlockArg::LockSharedNonblock,
        _ => FlockArg::LockExclusiveNonblock,
    };
    match Flock::lock(file, now) {
        Ok(lock) => Ok(lock),
        Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
            note(&format!("{name}: waiting for another run that is working on it"));
            Flock::lock(file, how).map_err(|(_, e)| e).context("cannot wait for a lock in the cache")
        }
        Err((_, e)) => Err(e).context("cannot lock in the cache"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        (dir, cache)
    }

    fn fill(text: &'static str) -> impl FnOnce(&Path) -> Result<()> {
        move |dir| Ok(fs::write(dir.join("file"), text)?)
    }

    #[test]
    fn a_piece_is_built_once() {
        let (_dir, cache) = cache();
        let first = cache.piece("p", "k", fill("one")).unwrap();
        let again = cache.piece("p", "k", |_| panic!("made twice")).unwrap();
        assert_eq!(fs::read(first.path().join("file")).unwrap(), b"one");
        assert_eq!(first.path(), again.path());
    }

    #[test]
    fn a_failed_piece_does_not_exist() {
        let (_dir, cache) = cache();
        let failed = cache.piece("p", "k", |dir| {
            fs::write(dir.join("file"), "half")?;
            bail!("no")
        });
        assert_eq!(failed.err().unwrap().to_string(), "no");
        assert!(cache.find("p", "k").unwrap().is_none());
        assert_eq!(fs::read_dir(cache.root().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_an_interrupted_run_are_not_used() {
        let (dir, cache) = cache();
        let half = cache.root().join("tmp/p-k");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("stale"), "half").unwrap();
        let piece = cache.piece("p", "k", fill("whole")).unwrap();
        assert!(!piece.path().join("stale").exists());
        drop(piece);

        fs::create_dir_all(&half).unwrap();
        Cache::open(dir.path()).unwrap();
        assert!(!half.exists());
    }

    #[test]
    fn the_unfinished_piece_of_another_run_stays() {
        let (dir, cache) = cache();
        let _at_work = cache.exclusive("p-k").unwrap();
        let half = cache.root().join("tmp/p-k");
        fs::create_dir_all(&half).unwrap();
        Cache::open(dir.path()).unwrap();
        assert!(half.exists());
    }

    #[test]
    fn old_versions_are_removed_unless_in_use() {
        let (_dir, cache) = cache();
        let old = cache.piece("p", "old", fill("1")).unwrap();
        drop(cache.piece("p", "new", fill("2")).unwrap());
        assert!(old.path().exists());
        let path = old.path().to_path_buf();
        drop(old);
        cache.piece("p", "newer", fill("3")).unwrap();
        assert!(!path.exists());
        assert!(cache.find("p", "new").unwrap().is_none());
    }

    #[test]
    fn a_name_is_free_again_when_its_lock_is_dropped() {
        let (_dir, cache) = cache();
        let (first, lock) = cache.free_name("run").unwrap();
        let (second, _other) = cache.free_name("run").unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("run", "run-2"));
        drop(lock);
        assert_eq!(cache.free_name("run").unwrap().0, "run");
    }

    #[test]
    fn a_damaged_piece_is_built_again() {
        let (dir, cache) = cache();
        let path = cache.piece("p", "k", fill("whole")).unwrap().path().join("file");
        fs::write(&path, "wh").unwrap();
        // A run compares a component only once.
        let cache = Cache::open(dir.path()).unwrap();
        assert!(cache.find("p", "k").unwrap().is_none());
        let again = cache.piece("p", "k", fill("whole")).unwrap();
        assert_eq!(fs::read(again.path().join("file")).unwrap(), b"whole");
        assert_eq!(fs::read_dir(cache.root().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn damage_found_by_a_step_fails_it_and_rebuilds_the_piece() {
        let (dir, cache) = cache();
        let make = |dir: &Path| {
            fs::create_dir(dir.join("tree"))?;
            Ok(fs::write(dir.join("tree/header.h"), "x")?)
        };
        let piece = cache.piece("p", "k", make).unwrap();
        piece.whole().unwrap();
        fs::remove_file(piece.path().join("tree/header.h")).unwrap();
        let error = piece.whole().unwrap_err();
        assert!(error.is::<manifest::Damaged>() && error.to_string() == "p: tree/header.h is missing", "{error}");
        drop(piece);
        let cache = Cache::open(dir.path()).unwrap();
        cache.piece("p", "k", make).unwrap().whole().unwrap();
    }

    #[test]
    fn only_what_the_cache_made_is_listed_and_removed() {
        let (dir, cache) = cache();
        let path = dir.path().canonicalize().unwrap();
        drop(cache.piece("kernel-x", "0123456789abcdef", fill("1")).unwrap());
        drop(cache.piece("kernel-y", "0123456789abcdef", fill("1")).unwrap());
        cache.workspace(&cache.exclusive("module-build").unwrap(), "module-x").unwrap();
        for own in ["kernel-x/mine", "kernel-z/0123456789abcdef", "Documents/kernel-a", "emulator"] {
            fs::create_dir_all(path.join(own)).unwrap();
            fs::write(path.join(own).join("file"), "mine").unwrap();
        }
        std::os::unix::fs::symlink("Documents", path.join("kernel-link")).unwrap();
        let stored = cache.stored().unwrap();
        let names: Vec<_> = stored.iter().map(|stored| stored.name.as_str()).collect();
        assert_eq!(names, ["build/module-x", "kernel-x", "kernel-y", "log"]);
        let alone = cache.alone().unwrap();
        stored.iter().for_each(|stored| alone.remove(stored).unwrap());
        let left: Vec<_> = folders(&path).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["Documents", "emulator", "kernel-x", "kernel-z", "lock", "log", "tmp"]);
        for own in ["kernel-x/mine", "kernel-z/0123456789abcdef", "Documents/kernel-a", "emulator"] {
            assert!(path.join(own).join("file").exists(), "{own}");
        }
        assert!(cache.find("kernel-x", "0123456789abcdef").unwrap().is_none());
    }

    #[test]
    fn nothing_is_removed_while_another_run_uses_the_cache() {
        let (dir, cache) = cache();
        let other = Cache::open(dir.path()).unwrap();
        assert!(cache.alone().err().unwrap().to_string().contains("another run uses"));
        drop(other);
        let alone = cache.alone().unwrap();
        let third = File::create(dir.path().join("lock").join(IN_USE)).unwrap();
        let (third, _) = Flock::lock(third, FlockArg::LockSharedNonblock).err().unwrap();
        drop(alone);
        Flock::lock(third, FlockArg::LockSharedNonblock).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_refused_in_advance() {
        let (_dir, cache) = cache();
        cache.room("something small", 1).unwrap();
        let error = cache.room("the universe", u64::MAX).unwrap_err().to_string();
        assert!(error.starts_with("the universe takes about") && error.contains("XFD_CACHE"), "{error}");
    }

    #[test]
    fn a_foreign_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        fs::write(dir.path().join("tmp/letter"), "dear").unwrap();
        let error = Cache::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("already has a folder tmp") && error.contains("XFD_CACHE"), "{error}");
        assert!(dir.path().join("tmp/letter").exists() && !dir.path().join("lock").exists());
        fs::remove_dir_all(dir.path().join("tmp")).unwrap();
        fs::write(dir.path().join("letter"), "dear").unwrap();
        Cache::open(dir.path()).unwrap();
        let error = Cache::open(&dir.path().join("letter")).err().unwrap().to_string();
        assert!(error.contains("set XFD_CACHE to a folder that can be written"), "{error}");
    }

    #[test]
    fn two_threads_build_a_piece_once() {
        let (_dir, cache) = cache();
        let made = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    cache
                        .piece("p", "k", |_| {
                            made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            Ok(())
                        })
                        .unwrap()
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
