// SPDX-License-Identifier: GPL-2.0
//! The folder of everything generated.
//!
//! A piece is made in a temporary folder and renamed when it is whole, so what has its final name can
//! be used. Each piece has a lock: exclusive while it is made or removed, shared while it is in use.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{bail, Context, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::workshop::namespace::remove_tree;

/// Where the pieces are.
pub struct Cache {
    root: PathBuf,
}

/// A whole piece; it is not removed while this value lives.
pub struct Piece {
    path: PathBuf,
    _in_use: Flock<File>,
}

/// A temporary folder.
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
}

impl Cache {
    /// Opens the cache, and removes what interrupted runs left half-made.
    ///
    /// # Errors
    ///
    /// The folder cannot be created or written.
    pub fn open(root: &Path) -> Result<Cache> {
        for part in ["lock", "log", "tmp"] {
            let dir = root.join(part);
            fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let root = root.canonicalize()?;
        let cache = Cache { root };
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

    /// The file for the full output of the commands of one step.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("log").join(format!("{name}.log"))
    }

    /// A folder that is kept between runs (incremental builds), created if needed. Whoever works in it
    /// holds [`Cache::exclusive`].
    pub fn workspace(&self, name: &str) -> Result<PathBuf> {
        let dir = self.root.join("build").join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(dir)
    }

    /// Waits for and takes the lock called `name`.
    pub fn exclusive(&self, name: &str) -> Result<Flock<File>> {
        lock(self.lock_file(name)?, FlockArg::LockExclusive, name)
    }

    /// The first of `name`, `name-2`, `name-3`… that no other run has; it is ours while the lock lives.
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

    /// The piece `name` with content key `key` if it is whole already.
    pub fn find(&self, name: &str, key: &str) -> Result<Option<Piece>> {
        let path = self.root.join(name).join(key);
        let in_use = lock(self.lock_file(&format!("{name}-{key}"))?, FlockArg::LockShared, name)?;
        Ok(path.is_dir().then_some(Piece { path, _in_use: in_use }))
    }

    /// The piece `name` with content key `key`; `make` fills the folder it is given if there is none yet.
    /// Other contents of the same name that nobody uses are removed then.
    ///
    /// # Errors
    ///
    /// Those of `make`, after which the piece does not exist.
    pub fn piece(&self, name: &str, key: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Piece> {
        if let Some(piece) = self.find(name, key)? {
            return Ok(piece);
        }
        let id = format!("{name}-{key}");
        let path = self.root.join(name).join(key);
        let in_work = lock(self.lock_file(&id)?, FlockArg::LockExclusive, name)?;
        if !path.is_dir() {
            let tmp = self.root.join("tmp").join(&id);
            remove_tree(&tmp)?;
            fs::create_dir_all(&tmp).with_context(|| format!("cannot create {}", tmp.display()))?;
            if let Err(e) = make(&tmp) {
                remove_tree(&tmp)?;
                return Err(e);
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

    /// A folder for the time of one use, removed when the value goes.
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

fn lock(file: File, how: FlockArg, name: &str) -> Result<Flock<File>> {
    let now = match how {
        FlockArg::LockShared => FlockArg::LockSharedNonblock,
        _ => FlockArg::LockExclusiveNonblock,
    };
    match Flock::lock(file, now) {
        Ok(lock) => Ok(lock),
        Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
            crate::workshop::progress::note(&format!("{name}: waiting for another run that works on it"));
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
    fn a_piece_is_made_once() {
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
    fn what_an_interrupted_run_left_is_not_taken() {
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
    fn the_half_made_piece_of_a_running_one_stays() {
        let (dir, cache) = cache();
        let _at_work = cache.exclusive("p-k").unwrap();
        let half = cache.root().join("tmp/p-k");
        fs::create_dir_all(&half).unwrap();
        Cache::open(dir.path()).unwrap();
        assert!(half.exists());
    }

    #[test]
    fn old_contents_go_unless_they_are_in_use() {
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
    fn a_name_is_free_again_when_its_lock_goes() {
        let (_dir, cache) = cache();
        let (first, lock) = cache.free_name("run").unwrap();
        let (second, _other) = cache.free_name("run").unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("run", "run-2"));
        drop(lock);
        assert_eq!(cache.free_name("run").unwrap().0, "run");
    }

    #[test]
    fn two_at_once_make_it_once() {
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
