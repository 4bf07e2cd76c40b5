// SPDX-License-Identifier: GPL-2.0
//! Register buffers that belong to no task, kept for the next first use.
//!
//! A first use that finds a buffer here does not allocate or map memory, and the task that gave up
//! the buffer did not have to unmap it or flush a TLB. Buffers are cleared when they are returned,
//! not when they are taken. So no task's state is left here, and a first use has less to do.
//!
//! Each CPU has a cache. A first use takes a buffer from its own CPU's cache, or failing that from
//! one of the next few CPUs' caches. The size of a cache is limited (parameter `pool`), the
//! shrinker empties the caches under memory pressure, and [`trim`] frees what has not been needed
//! for a while. All buffers are vmalloc areas of the size that the kernel allocates, so its
//! `fpstate_free()` can free any of them after the module is gone.

use super::area::{AllocMode, Area};
use crate::bindings;
use crate::seam::kernel::kernel;
use core::ptr;
use kernel::cpu::{nr_cpu_ids, CpuId};
use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::atomic::{Acquire, Atomic, AtomicFlag, Relaxed, Release};
use kernel::sync::SpinLock;

/// How many other CPUs' caches a first use tries if its own CPU's is empty.
const NEIGHBOURS: usize = 7;

/// How many buffers [`trim`] leaves in each cache, unless the limit is lower. They serve the next
/// first use after a quiet period.
const SPARE: u32 = 1;

/// One CPU's buffers.
#[pin_data]
struct CpuCache {
    #[pin]
    kept: SpinLock<Kept>,
    /// How many there are, for whoever only counts them: any user may ask how many the pool has, and
    /// nobody's first use has to wait for that.
    count: Atomic<u32>,
}

/// The last one returned is the first one taken, because it is still in the CPU's caches.
struct Kept {
    buffers: Stack,
    /// The lowest count since the last [`trim`]: this many buffers were not needed.
    low_water: u32,
}

/// A stack of buffers, linked through their first words, which nobody reads in a free buffer.
///
/// # Invariants
///
/// The stack has `count` buffers. Each has the size of `largest_capacity` and belongs to the stack.
struct Stack {
    top: *mut Free,
    count: u32,
}

struct Free {
    below: *mut Free,
}

// SAFETY: by the type invariant nobody else can access the buffers on the stack.
unsafe impl Send for Stack {}

impl Stack {
    const EMPTY: Self = Self {
        top: ptr::null_mut(),
        count: 0,
    };

    fn push(&mut self, buffer: Area) {
        let free: *mut Free = buffer.into_raw().cast().as_ptr();
        // SAFETY: nobody else can access the buffer, which is aligned and larger than a pointer.
        unsafe { (*free).below = self.top };
        // INVARIANT: the caller gave up the buffer, and `give` and `put_spares` check its size.
        self.top = free;
        self.count += 1;
    }

    fn pop(&mut self) -> Option<Area> {
        let free = ptr::NonNull::new(self.top)?;
        let state = free.cast::<bindings::fpstate>();
        // SAFETY: by the type invariant nobody else can access the buffer. `push` has overwritten
        // the size in its header, which is the same for all buffers here.
        unsafe {
            self.top = free.as_ref().below;
            *state.as_ptr().cast::<u64>() = 0;
            (*state.as_ptr()).size = kernel().largest_capacity.kernel_size();
        }
        // INVARIANT: one buffer was removed.
        self.count -= 1;
        // SAFETY: `push` got it from `into_raw`, and it is no longer on the stack.
        Some(unsafe { Area::from_raw(state) })
    }
}

impl CpuCache {
    fn new() -> impl PinInit<Self> {
        let empty = Kept {
            buffers: Stack::EMPTY,
            low_water: 0,
        };
        pin_init!(Self {
            kept <- new_spinlock!(empty, "xfd_cpu_cache"),
            count: Atomic::new(0),
        })
    }

    fn take(&self) -> Option<Area> {
        let mut kept = self.kept.lock();
        let buffer = kept.buffers.pop();
        kept.low_water = kept.low_water.min(kept.buffers.count);
        self.count.store(kept.buffers.count, Relaxed);
        buffer
    }

    /// Puts `buffer` there, or returns it if there are `limit` already. `limit` is called under the
    /// lock: once [`close`] has taken it, nobody puts any more there.
    fn put(&self, buffer: Area, limit: fn() -> u32) -> Option<Area> {
        let mut kept = self.kept.lock();
        if kept.buffers.count >= limit() {
            return Some(buffer);
        }
        kept.buffers.push(buffer);
        self.count.store(kept.buffers.count, Relaxed);
        None
    }
}

/// Set when the module gives everything back: from then on no buffer is kept.
static CLOSED: AtomicFlag = AtomicFlag::new(false);

/// The caches while a [`Pool`] exists, otherwise NULL.
static CPU_CACHES: Atomic<*mut CpuCaches> = Atomic::new(ptr::null_mut());

type CpuCaches = KVec<Pin<KBox<CpuCache>>>;

/// Buffers are kept while this exists. Dropping it frees them all.
pub(crate) struct Pool(());

impl Pool {
    /// Creates a cache for each possible CPU. Called once. May sleep.
    ///
    /// Errors: ENOMEM.
    pub(crate) fn new() -> Result<Self> {
        let cpus = nr_cpu_ids() as usize;
        let mut caches = CpuCaches::with_capacity(cpus, GFP_KERNEL)?;
        for _ in 0..cpus {
            caches.push(KBox::pin_init(CpuCache::new(), GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let caches = KBox::new(caches, GFP_KERNEL)?;
        CPU_CACHES.store(KBox::into_raw(caches), Release);
        put_spares();
        // SAFETY: the callbacks below are ready to be called.
        if unsafe { bindings::xfd_shrinker_register() } != 0 {
            drop(Self(()));
            return Err(ENOMEM);
        }
        Ok(Self(()))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: `new` registered it; otherwise this does nothing. It waits for running callbacks.
        unsafe { bindings::xfd_shrinker_unregister() };
        empty();
        let caches = CPU_CACHES.xchg(ptr::null_mut(), Acquire);
        // SAFETY: `new` made it from a box. The shrinker is gone, and so is everyone else who was
        // in the module (xfd_main.rs).
        drop(unsafe { KBox::from_raw(caches) });
    }
}

/// Allocates what [`trim`] would leave, for the very first first uses, or fewer if memory is tight.
/// May sleep.
fn put_spares() {
    if spare() == 0 {
        return;
    }
    for (cpu, cache) in caches().iter().enumerate() {
        // SAFETY: this only reads one of the kernel's CPU masks.
        if unsafe { bindings::xfd_cpu_is_online(cpu as u32) } {
            let Ok(buffer) =
                Area::allocate(kernel().largest_capacity.kernel_size(), AllocMode::MayFail)
            else {
                return;
            };
            if let Some(buffer) = cache.put(buffer, spare) {
                buffer.free();
            }
        }
    }
}

fn caches() -> &'static [Pin<KBox<CpuCache>>] {
    // SAFETY: NULL, or valid until `Pool` is dropped, by which time every caller of this is gone.
    unsafe { CPU_CACHES.load(Acquire).as_ref() }.map_or(&[], |caches| caches)
}

/// The cache of the current CPU, then those of the next CPUs. It does not matter if the task moves
/// to another CPU meanwhile, because each cache has a lock.
fn near() -> impl Iterator<Item = &'static Pin<KBox<CpuCache>>> {
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

/// A zeroed buffer for a register image of `kernel_size` bytes, if one is available. Task context;
/// sleeps only on PREEMPT_RT, for the lock.
pub(crate) fn take(kernel_size: u32) -> Option<Area> {
    if kernel_size != kernel().largest_capacity.kernel_size() {
        return None;
    }
    near().find_map(|cache| cache.take())
}

/// Clears `buffer` and keeps it for the next first use, or frees it if the cache is full. Task
/// context; sleeps only on PREEMPT_RT, for the lock.
pub(crate) fn give(mut buffer: Area) {
    let Some(cache) = near()
        .next()
        .filter(|_| buffer.size() == kernel().largest_capacity.kernel_size())
    else {
        return buffer.free_later();
    };
    buffer.clear();
    if let Some(buffer) = cache.put(buffer, limit) {
        buffer.free_later();
    }
}

/// How many buffers a cache may hold: the parameter `pool`.
fn limit() -> u32 {
    if CLOSED.load(Relaxed) {
        return 0;
    }
    // SAFETY: this is an aligned int, so a concurrent write cannot tear it.
    unsafe { (&raw const bindings::xfd_pool).read_volatile() }
}

/// How many buffers [`trim`] leaves in a cache.
fn spare() -> u32 {
    SPARE.min(limit())
}

/// Frees up to `most` buffers of each cache. Returns how many were freed. May sleep.
fn free_from_each(most: impl Fn(&Kept) -> u32) -> usize {
    let mut freed = 0;
    for cache in caches() {
        let most = most(&cache.kept.lock());
        for _ in 0..most {
            match cache.take() {
                Some(buffer) => buffer.free(),
                None => break,
            }
            freed += 1;
        }
    }
    freed
}

/// Frees the buffers that have not been needed since the last call, but leaves one spare in each
/// cache. May sleep.
pub(crate) fn trim() {
    let (spare, limit) = (spare(), limit());
    free_from_each(|kept| {
        let unused = kept
            .low_water
            .min(kept.buffers.count.saturating_sub(spare));
        // The limit may have been lowered.
        unused.max(kept.buffers.count.saturating_sub(limit))
    });
    for cache in caches() {
        let mut kept = cache.kept.lock();
        kept.low_water = kept.buffers.count;
    }
}

/// Frees every buffer, and keeps none from now on. May sleep.
#[cfg(MODULE)]
pub(crate) fn close() {
    CLOSED.store(true, Relaxed);
    empty();
}

/// Frees every buffer. May sleep.
fn empty() {
    // If a buffer is returned while the pool closes, the last call, in `Pool::drop`, frees it.
    free_from_each(|kept| kept.buffers.count);
}

/// The number of buffers in all caches. Takes no lock. Any context.
pub(crate) fn count() -> i64 {
    caches()
        .iter()
        .map(|cache| i64::from(cache.count.load(Relaxed)))
        .sum()
}

/// The shrinker asks how many buffers could be freed. Task context.
#[no_mangle]
extern "C" fn xfd_pool_count() -> c_ulong {
    count() as c_ulong
}

/// The shrinker asks to free `wanted` buffers. Returns how many were freed. Task context; may
/// sleep.
#[no_mangle]
extern "C" fn xfd_pool_shrink(wanted: c_ulong) -> c_ulong {
    let left = core::cell::Cell::new(wanted as u32);
    free_from_each(|kept| {
        let share = left.get().min(kept.buffers.count);
        left.set(left.get() - share);
        share
    }) as c_ulong
}

/// The number of nonzero bytes in free buffers: what a task could have left there.
#[cfg(CONFIG_XFD_FAULTS)]
pub(crate) fn dirty_bytes() -> i64 {
    let mut dirty = 0;
    for cache in caches() {
        let kept = cache.kept.lock();
        let mut free = kept.buffers.top;
        while !free.is_null() {
            // SAFETY: the buffer is on the stack, whose lock is held, and by the type invariant all
            // buffers have this size.
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
