// SPDX-License-Identifier: GPL-2.0
//! What is attached to the kernel, in one list, and the one way to take it off again.
//!
//! Loading, disabling, unloading and each failing step of loading use the same three stages:
//!
//! 1. [`Lifecycle::attach`] goes through the list in its order. A part that fails takes those before
//!    it off again.
//! 2. [`Lifecycle::detach`] goes through it in reverse. After a part is detached nobody *enters* the
//!    module through it. It waits for no task that sleeps (text patching and ftrace's RCU tasks, as any
//!    livepatch's functions), so it may run under `klp_mutex`.
//! 3. [`Lifecycle::finish`] waits until nobody is *inside*. It never runs under a lock of the
//!    kernel's:
//!
//!    ```text
//!    each part's own end        the background pass is over, reclaimed tasks have their buffers again
//!    synchronize_rcu_tasks()    who had entered before the detaching is counted by now, or gone
//!    wait for the count         nobody sleeps in the module
//!    synchronize_rcu_tasks()    who was counted last has left the module's text
//!    ```
//!
//! Nothing of the module sleeps on user memory or waits for another task's mercy: these waits are for
//! allocations, and for tasks that can run to run.
//!
//! # Invariants
//!
//! - A part's flag is set from the moment that its `attach` succeeded until its `detach` did.
//! - A module with a part that cannot be detached is never freed: it holds a reference to itself.

use super::refusal::Refusal;
use crate::bindings;
use crate::fault;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, AtomicFlag, Full, Relaxed};

/// One thing that is attached to the kernel.
pub(crate) struct Part {
    /// What it is, for the log.
    pub(crate) name: &'static CStr,
    /// Attaches it, or changes nothing. Sleeps.
    pub(crate) attach: fn() -> Result<(), Refusal>,
    /// Nobody enters through it any more, or it stays as it was. Sleeps, and waits for no task that sleeps.
    pub(crate) detach: fn() -> Result,
    /// Waits for what it started. Called when everything is detached, without a lock. Sleeps.
    pub(crate) finish: fn(),
}

/// Parts in the order in which they are attached.
pub(crate) struct Lifecycle<const N: usize> {
    parts: [Part; N],
    attached: [AtomicFlag; N],
    /// Something was attached since the last [`Self::finish`].
    unfinished: AtomicFlag,
    /// A part could not be detached, and that was said.
    stuck: AtomicFlag,
}

impl<const N: usize> Lifecycle<N> {
    pub(crate) const fn new(parts: [Part; N]) -> Self {
        Self {
            parts,
            attached: [const { AtomicFlag::new(false) }; N],
            unfinished: AtomicFlag::new(false),
            stuck: AtomicFlag::new(false),
        }
    }

    /// Attaches every part, or none. Sleeps; one at a time. After an error [`Self::finish`] is due.
    pub(crate) fn attach(&self) -> Result<(), Refusal> {
        self.unfinished.store(true, Relaxed);
        for (i, part) in self.parts.iter().enumerate() {
            let attached = fault::attach_step(i, part.name).and_then(|()| (part.attach)());
            if let Err(refusal) = attached {
                self.detach();
                return Err(refusal);
            }
            self.attached[i].store(true, Relaxed);
        }
        Ok(())
    }

    /// Detaches what is attached; whether everything is. What cannot be detached keeps the module
    /// loaded, if it is not on its way out already. Sleeps; one at a time.
    pub(crate) fn detach(&self) -> bool {
        let mut all = true;
        for (part, attached) in self.parts.iter().zip(&self.attached).rev() {
            if !attached.load(Relaxed) {
                continue;
            }
            let detached = if fault::detach_fails() {
                Err(EBUSY)
            } else {
                (part.detach)()
            };
            match detached {
                Ok(()) => attached.store(false, Relaxed),
                Err(e) => {
                    all = false;
                    self.keep_loaded(part.name, e);
                }
            }
        }
        all
    }

    fn keep_loaded(&self, name: &CStr, error: Error) {
        if self.stuck.xchg(true, Full) {
            return;
        }
        pr_err!(
            "{} cannot be detached (errno {}): the module stays loaded; reboot to remove it\n",
            name,
            -error.to_errno()
        );
        // SAFETY: its code runs, so the module is there; fails if it is on its way out.
        let _ = unsafe { bindings::xfd_get_module() };
    }

    /// Whether a part could not be detached: the module's text must stay.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Relaxed)
    }

    /// Waits until nobody is in the module by way of a part. Does nothing if that was done already.
    /// Sleeps; no lock of the kernel's is held; one at a time.
    pub(crate) fn finish(&self) {
        if !self.unfinished.xchg(false, Full) {
            return;
        }
        for part in self.parts.iter().rev() {
            (part.finish)();
        }
        // SAFETY: sleeping is allowed, and no part leads into the module any more.
        unsafe {
            bindings::xfd_synchronize_tasks();
            bindings::xfd_wait_for_inside();
            bindings::xfd_synchronize_tasks();
        }
    }
}

/// A [`Part::finish`] for those that start nothing.
pub(crate) fn nothing_to_finish() {}

/// How many tasks are inside, for debugfs.
pub(crate) fn inside() -> i64 {
    // SAFETY: a static of inside.c that only atomic operations change; one i64, as in Rust.
    let count: &Atomic<i64> = unsafe { Atomic::from_ptr((&raw mut bindings::xfd_inside).cast()) };
    // SAFETY: an aligned bool of C's; a stale one makes the number wrong by one for a moment.
    let waited_for = unsafe { (&raw const bindings::xfd_waited_for).read_volatile() };
    count.load(Relaxed) - i64::from(!waited_for)
}
