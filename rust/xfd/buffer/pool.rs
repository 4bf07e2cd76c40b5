// SPDX-License-Identifier: GPL-2.0
//! Register buffers without a task, kept for the next first use.
//!
//! A first use that finds one neither allocates nor maps, and the task that gave it up neither
//! unmapped nor flushed a TLB. Buffers are cleared when they come, not when they go: nothing of
//! a task outlives it here, and the first use has the least to do.
//!
//! Each CPU has a shelf. A first use takes from its own CPU's, else from one of the next few.
//! The number on a shelf is bounded (parameter `pool`), the shrinker empties them when memory is
//! short, and [`trim`] frees what was not needed for a while. All buffers are vmalloc areas of
//! the size that the kernel allocates: its `fpstate_free()` can free each of them, if the module
//! is gone by then.

use super::area::{AllocMode, Area};
use crate::bindings;
use crate::seam::kernel::kernel;
use crate::watch::stats::STATS;
use core::ptr;
use kernel::cpu::{nr_cpu_ids, CpuId};
use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::atomic::{Acquire, Atomic, AtomicFlag, Relaxed, Release};
use kernel::sync::SpinLock;

/// Shelves of other CPUs at which a first use looks when its own is empty.
const NEIGHBOURS: usize = 7;

/// What [`trim`] leaves on each shelf, if the pool may keep any: the next first use after a quiet
/// time is served from here.
const SPARE: u32 = 1;

/// One CPU's buffers, the last come first gone: it is the one the cache knows.
struct CpuCache {
    buffers: Stack,
    /// The fewest there were since [`trim`] looked: nobody needed these.
    low_water: u32,
}

/// Buffers linked through their first word, which no reader of a free one looks at.
struct Stack {
    top: *mut Free,
    count: u32,
}

struct Free {
    below: *mut Free,
}

// SAFETY: whoever has the stack has the buffers on it.
unsafe impl Send for Stack {}

impl Stack {
    const EMPTY: Self = Self {
        top: ptr::null_mut(),
        count: 0,
    };

    fn push(&mut self, buffer: Area) {
        let free: *mut Free = buffer.into_raw().cast().as_ptr();
        // SAFETY: the buffer is nobody else's, aligned, and longer than a pointer.
        unsafe { (*free).below = self.top };
        self.top = free;
        self.count += 1;
    }

    fn pop(&mut self) -> Option<Area> {
        let free = ptr::NonNull::new(self.top)?;
        let state = free.cast::<bindings::fpstate>();
        // SAFETY: `push` put it there, and wrote over the head's size; on the shelves are areas of
        // this size only.
        unsafe {
            self.top = free.as_ref().below;
            *state.as_ptr().cast::<u64>() = 0;
            (*state.as_ptr()).size = kernel().largest_capacity.kernel_size();
        }
        self.count -= 1;
        // SAFETY: as above; it is on no stack any more.
        Some(unsafe { Area::from_raw(state) })
    }
}

impl CpuCache {
    const EMPTY: Self = Self {
        buffers: Stack::EMPTY,
        low_water: 0,
    };

    fn take(&mut self) -> Option<Area> {
        let buffer = self.buffers.pop();
        self.low_water = self.low_water.min(self.buffers.count);
        buffer
    }
}

/// No buffer is kept any more: the module gives everything back.
static CLOSED: AtomicFlag = AtomicFlag::new(false);

/// The shelves, while there is a [`Pool`].
static CPU_CACHES: Atomic<*mut CpuCaches> = Atomic::new(ptr::null_mut());

type CpuCaches = KVec<Pin<KBox<SpinLock<CpuCache>>>>;

/// As long as it is there, buffers are kept. Dropping it frees them all.
pub(crate) struct Pool(());

impl Pool {
    /// Makes a shelf for each possible CPU. Once. Sleeps.
    ///
    /// Errors: ENOMEM.
    pub(crate) fn new() -> Result<Self> {
        let cpus = nr_cpu_ids() as usize;
        let mut caches = CpuCaches::with_capacity(cpus, GFP_KERNEL)?;
        for _ in 0..cpus {
            let cache =
                KBox::pin_init(new_spinlock!(CpuCache::EMPTY, "xfd_cpu_cache"), GFP_KERNEL)?;
            caches.push(cache, GFP_KERNEL)?;
        }
        let caches = KBox::new(caches, GFP_KERNEL)?;
        CPU_CACHES.store(KBox::into_raw(caches), Release);
        put_spares();
        // SAFETY: the callbacks below are ready for it.
        if unsafe { bindings::xfd_shrinker_register() } != 0 {
            drop(Self(()));
            return Err(ENOMEM);
        }
        Ok(Self(()))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: `new` registered it; does nothing if that failed. Waits for its callbacks.
        unsafe { bindings::xfd_shrinker_unregister() };
        empty();
        let caches = CPU_CACHES.xchg(ptr::null_mut(), Acquire);
        // SAFETY: `new` made it from a box; nobody is in the module any more, and the
        // shrinker is gone (xfd_main.rs).
        drop(unsafe { KBox::from_raw(caches) });
    }
}

/// What [`trim`] would leave, for the first first uses. Without memory there are fewer.
fn put_spares() {
    if spare() == 0 {
        return;
    }
    for (cpu, cache) in caches().iter().enumerate() {
        // SAFETY: reads a mask of the kernel's.
        if unsafe { bindings::xfd_cpu_is_online(cpu as u32) } {
            let Ok(buffer) =
                Area::allocate(kernel().largest_capacity.kernel_size(), AllocMode::MayFail)
            else {
                return;
            };
            cache.lock().buffers.push(buffer);
        }
    }
}

fn caches() -> &'static [Pin<KBox<SpinLock<CpuCache>>>] {
    // SAFETY: NULL, or valid until `Pool` is dropped, after everybody who calls this is gone.
    unsafe { CPU_CACHES.load(Acquire).as_ref() }.map_or(&[], |caches| caches)
}

/// The shelf of the CPU this runs on, and those of the next. To be on another CPU a moment later
/// is no harm: shelves have locks.
fn near() -> impl Iterator<Item = &'static Pin<KBox<SpinLock<CpuCache>>>> {
    let own = CpuId::current().as_u32() as usize;
    let caches = caches();
    let wrapped = move |cpu| {
        if cpu < caches.len() {
            cpu
        } else {
            cpu - caches.len()
        }
    };
    (own..own + caches.len().min(1 + NEIGHBOURS)).filter_map(move |cpu| caches.get(wrapped(cpu)))
}

/// A buffer for a register image of `kernel_size` bytes, all of them zero, if one is at hand.
/// Task context; does not sleep.
pub(crate) fn take(kernel_size: u32) -> Option<Area> {
    if kernel_size != kernel().largest_capacity.kernel_size() {
        return None;
    }
    let buffer = near().find_map(|cache| cache.lock().take())?;
    STATS.recycled.count();
    Some(buffer)
}

/// Keeps `buffer` for the next first use, cleared, or has it freed. Task context; does not sleep.
pub(crate) fn give(mut buffer: Area) {
    let Some(cache) = near()
        .next()
        .filter(|_| buffer.size() == kernel().largest_capacity.kernel_size())
    else {
        return buffer.free_later();
    };
    buffer.clear();
    let mut cache = cache.lock();
    if cache.buffers.count < limit() {
        cache.buffers.push(buffer);
    } else {
        drop(cache);
        buffer.free_later();
    }
}

/// Buffers that a shelf may hold: the parameter `pool`.
fn limit() -> u32 {
    if CLOSED.load(Relaxed) {
        return 0;
    }
    // SAFETY: an aligned int, read in one piece, whatever its writer does meanwhile.
    unsafe { (&raw const bindings::xfd_pool).read_volatile() }
}

/// Buffers that [`trim`] leaves on a shelf.
fn spare() -> u32 {
    SPARE.min(limit())
}

/// Frees up to `most` buffers of each shelf. Sleeps. Returns how many.
fn free_from_each(most: impl Fn(&CpuCache) -> u32) -> usize {
    let mut freed = 0;
    for cache in caches() {
        let most = most(&cache.lock());
        for _ in 0..most {
            let buffer = cache.lock().take();
            match buffer {
                Some(buffer) => buffer.free(),
                None => break,
            }
            freed += 1;
        }
    }
    freed
}

/// Frees the buffers that nobody needed since the last call, but for a spare one on each shelf.
/// Sleeps.
pub(crate) fn trim() {
    let (spare, limit) = (spare(), limit());
    free_from_each(|cache| {
        let unused = cache
            .low_water
            .min(cache.buffers.count.saturating_sub(spare));
        // The limit may be lower than it was.
        unused.max(cache.buffers.count.saturating_sub(limit))
    });
    for cache in caches() {
        let mut cache = cache.lock();
        cache.low_water = cache.buffers.count;
    }
}

/// Frees every buffer, and keeps none from now on. Sleeps.
pub(crate) fn close() {
    CLOSED.store(true, Relaxed);
    empty();
}

/// Frees every buffer. Sleeps.
fn empty() {
    // One that was about to be kept when the pool closed is found by the last call, in `Pool::drop`.
    free_from_each(|cache| cache.buffers.count);
}

/// How many buffers are kept.
pub(crate) fn count() -> i64 {
    caches()
        .iter()
        .map(|cache| i64::from(cache.lock().buffers.count))
        .sum()
}

/// The shrinker's question: how many could go. Task context.
#[no_mangle]
extern "C" fn xfd_pool_count() -> c_ulong {
    count() as c_ulong
}

/// The shrinker's request to free `wanted` buffers; returns how many went. Task context.
#[no_mangle]
extern "C" fn xfd_pool_shrink(wanted: c_ulong) -> c_ulong {
    let left = core::cell::Cell::new(wanted as u32);
    free_from_each(|cache| {
        let share = left.get().min(cache.buffers.count);
        left.set(left.get() - share);
        share
    }) as c_ulong
}

/// Bytes of kept buffers that are not zero: what a task could have left there.
#[cfg(CONFIG_XFD_FAULTS)]
pub(crate) fn dirty_bytes() -> i64 {
    let mut dirty = 0;
    for cache in caches() {
        let cache = cache.lock();
        let mut free = cache.buffers.top;
        while !free.is_null() {
            // SAFETY: on the stack, and the lock is held; `give` and `put_spares` take buffers of
            // this size only.
            unsafe {
                let bytes = bindings::XFD_FPSTATE_REGS as usize
                    + kernel().largest_capacity.kernel_size() as usize;
                let link = core::mem::size_of::<Free>();
                let rest = core::slice::from_raw_parts(free.cast::<u8>().add(link), bytes - link);
                dirty += rest.iter().filter(|&&byte| byte != 0).count() as i64;
                free = (*free).below;
            }
        }
    }
    dirty
}
