// SPDX-License-Identifier: GPL-2.0
//! First uses, exits, the shrinker, trimming and closing use the pool concurrently, in every
//! interleaving that loom explores. `Pool` models rust/xfd/buffer/pool.rs, function by function.
//! Keep the model in sync with the code.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::ptr;

const LIMIT: usize = 2;
const SPARE: usize = 1;

/// A register buffer. The flag is true if it holds a task's state. It must be freed exactly once.
struct Buffer(Box<UnsafeCell<bool>>);

impl Buffer {
    fn allocate() -> Self {
        Buffer(Box::new(UnsafeCell::new(false)))
    }

    fn is_dirty(&self) -> bool {
        // SAFETY: loom panics on a concurrent write.
        self.0.with(|dirty| unsafe { *dirty })
    }

    fn write(&self, to: bool) {
        // SAFETY: loom panics on a concurrent access.
        self.0.with_mut(|dirty| unsafe { *dirty = to });
    }
}

#[derive(Default)]
struct CpuCache {
    kept: Mutex<Kept>,
    count: AtomicUsize,
}

#[derive(Default)]
struct Kept {
    buffers: Vec<Buffer>,
    low_water: usize,
}

impl CpuCache {
    fn take(&self) -> Option<Buffer> {
        let mut kept = self.kept.lock().unwrap();
        let buffer = kept.buffers.pop();
        kept.low_water = kept.low_water.min(kept.buffers.len());
        self.count.store(kept.buffers.len(), Relaxed);
        buffer
    }

    /// `limit` is called under the lock: once `close` has taken it, everybody sees the pool as closed.
    fn put(&self, buffer: Buffer, limit: impl Fn() -> usize) -> Option<Buffer> {
        let mut kept = self.kept.lock().unwrap();
        if kept.buffers.len() >= limit() {
            return Some(buffer);
        }
        kept.buffers.push(buffer);
        self.count.store(kept.buffers.len(), Relaxed);
        None
    }
}

struct CpuCaches {
    /// Written during initialisation: loom panics if somebody sees the caches before that.
    made: UnsafeCell<bool>,
    of_cpu: Vec<CpuCache>,
}

struct Pool {
    closed: AtomicBool,
    /// NULL while there is no pool.
    caches: AtomicPtr<CpuCaches>,
    freed: AtomicUsize,
}

impl Pool {
    fn none() -> Arc<Self> {
        Arc::new(Pool {
            closed: AtomicBool::new(false),
            caches: AtomicPtr::new(ptr::null_mut()),
            freed: AtomicUsize::new(0),
        })
    }

    /// `Pool::new()` for two CPUs, without spares.
    fn make(&self) {
        let caches = CpuCaches {
            made: UnsafeCell::new(false),
            of_cpu: (0..2).map(|_| CpuCache::default()).collect(),
        };
        // SAFETY: no other thread can reach them yet.
        caches.made.with_mut(|made| unsafe { *made = true });
        let caches = Box::into_raw(Box::new(caches));
        self.caches.store(caches, Release);
    }

    /// A pool with this many buffers in its caches, none of them used since the last trim.
    fn with(counts: [usize; 2]) -> Arc<Self> {
        let pool = Pool::none();
        pool.make();
        for (cache, count) in pool.caches().iter().zip(counts) {
            let mut kept = cache.kept.lock().unwrap();
            kept.buffers.extend((0..count).map(|_| Buffer::allocate()));
            kept.low_water = count;
            cache.count.store(count, Relaxed);
        }
        pool
    }

    /// `caches()`
    fn caches(&self) -> &[CpuCache] {
        // SAFETY: NULL, or a box that `end` frees after every caller of this is gone.
        let Some(caches) = (unsafe { self.caches.load(Acquire).as_ref() }) else {
            return &[];
        };
        // SAFETY: loom panics on a concurrent write.
        assert!(caches.made.with(|made| unsafe { *made }));
        &caches.of_cpu
    }

    /// `near()`, on the CPU `own`.
    fn near(&self, own: usize) -> impl Iterator<Item = &CpuCache> {
        let caches = self.caches();
        (own..own + caches.len()).map(move |cpu| &caches[cpu % caches.len()])
    }

    /// `take()`
    fn take(&self, cpu: usize) -> Option<Buffer> {
        self.near(cpu).find_map(CpuCache::take)
    }

    /// `give()`
    fn give(&self, cpu: usize, buffer: Buffer) {
        let Some(cache) = self.near(cpu).next() else {
            return self.free(buffer);
        };
        buffer.write(false);
        if let Some(buffer) = cache.put(buffer, || self.limit()) {
            self.free(buffer);
        }
    }

    /// `limit()`
    fn limit(&self) -> usize {
        if self.closed.load(Relaxed) {
            0
        } else {
            LIMIT
        }
    }

    fn free(&self, buffer: Buffer) {
        drop(buffer);
        self.freed.fetch_add(1, Relaxed);
    }

    /// `free_from_each()`
    fn free_from_each(&self, most: impl Fn(&Kept) -> usize) -> usize {
        let mut freed = 0;
        for cache in self.caches() {
            let most = most(&cache.kept.lock().unwrap());
            for _ in 0..most {
                match cache.take() {
                    Some(buffer) => self.free(buffer),
                    None => break,
                }
                freed += 1;
            }
        }
        freed
    }

    /// `trim()`
    fn trim(&self) {
        let limit = self.limit();
        let spare = SPARE.min(limit);
        self.free_from_each(|kept| {
            let unused = kept.low_water.min(kept.buffers.len().saturating_sub(spare));
            unused.max(kept.buffers.len().saturating_sub(limit))
        });
        for cache in self.caches() {
            let mut kept = cache.kept.lock().unwrap();
            kept.low_water = kept.buffers.len();
        }
    }

    /// `xfd_pool_shrink()`
    fn shrink(&self, wanted: usize) -> usize {
        let left = std::cell::Cell::new(wanted);
        self.free_from_each(|kept| {
            let share = left.get().min(kept.buffers.len());
            left.set(left.get() - share);
            share
        })
    }

    /// `close()`
    fn close(&self) {
        self.closed.store(true, Relaxed);
        self.empty();
    }

    /// `empty()`
    fn empty(&self) {
        self.free_from_each(|kept| kept.buffers.len());
    }

    /// `count()`
    fn count(&self) -> usize {
        let counts = self.caches().iter();
        counts.map(|cache| cache.count.load(Relaxed)).sum()
    }

    /// `Pool::drop()`, once nobody else is left. Returns how many buffers were freed in total.
    fn end(&self) -> usize {
        self.empty();
        let caches = self.caches.swap(ptr::null_mut(), Acquire);
        // SAFETY: `make` made it from a box, and no other thread is left.
        let caches = unsafe { Box::from_raw(caches) };
        let cached = |cache: &CpuCache| cache.kept.lock().unwrap().buffers.len();
        assert_eq!(caches.of_cpu.iter().map(cached).sum::<usize>(), 0);
        self.freed.load(Relaxed)
    }

    /// A task's first use and exit. Returns whether its buffer was new.
    fn task(&self, cpu: usize) -> bool {
        let found = self.take(cpu);
        let new = found.is_none();
        let buffer = found.unwrap_or_else(Buffer::allocate);
        assert!(!buffer.is_dirty(), "another task's contents");
        buffer.write(true);
        self.give(cpu, buffer);
        new
    }
}

/// Two tasks on two CPUs share one buffer, found in the other CPU's cache. They never both have it
/// at the same time, it is not lost, and it does not leak the other task's state.
#[test]
fn two_tasks_take_and_give() {
    loom::model(|| {
        let pool = Pool::with([1, 0]);
        let other = Arc::clone(&pool);
        let other = thread::spawn(move || other.task(1));
        let new = [pool.task(0), other.join().unwrap()];
        assert_eq!(pool.end(), 1 + new.iter().filter(|new| **new).count());
    });
}

/// Buffers returned before the pool closed are freed, and those returned later are not kept.
#[test]
fn nothing_is_kept_in_a_closed_pool() {
    loom::model(|| {
        let pool = Pool::with([0, 0]);
        let gives = Arc::clone(&pool);
        let gives = thread::spawn(move || gives.give(0, Buffer::allocate()));
        pool.close();
        gives.join().unwrap();
        assert_eq!(pool.count(), 0, "kept in a closed pool");
        assert_eq!(pool.end(), 1);
    });
}

/// Trimming frees only buffers that were not needed, even if a task takes one meanwhile.
#[test]
fn trimming_meets_a_task() {
    loom::model(|| {
        let pool = Pool::with([LIMIT, LIMIT]);
        let task = Arc::clone(&pool);
        let task = thread::spawn(move || task.task(0));
        pool.trim();
        assert!(!task.join().unwrap(), "nothing was left for a first use");
        assert_eq!(pool.end(), 2 * LIMIT);
    });
}

/// The shrinker frees as many as it returns, and no more than it was asked for.
#[test]
fn the_shrinker_meets_a_task() {
    loom::model(|| {
        let pool = Pool::with([1, 1]);
        let task = Arc::clone(&pool);
        let task = thread::spawn(move || task.task(1));
        let shrunk = pool.shrink(1);
        assert_eq!(shrunk, pool.freed.load(Relaxed));
        assert!(shrunk <= 1);
        let new = task.join().unwrap();
        assert_eq!(pool.end(), 2 + usize::from(new));
    });
}

/// Whoever sees the caches sees them initialised.
#[test]
fn a_task_meets_a_pool_that_is_made() {
    loom::model(|| {
        let pool = Pool::none();
        let task = Arc::clone(&pool);
        let task = thread::spawn(move || task.task(0));
        pool.make();
        assert!(task.join().unwrap());
        assert_eq!(pool.end(), 1);
    });
}
