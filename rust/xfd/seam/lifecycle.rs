// SPDX-License-Identifier: GPL-2.0
//! One list of everything that is attached to the kernel, and the only way to detach it.
//!
//! Loading, disabling, unloading and every failed loading step use the same three stages:
//!
//! 1. [`Lifecycle::attach`] attaches the parts in order. If one fails, those before it are
//!    detached.
//! 2. [`Lifecycle::detach`] detaches the parts in reverse order. Once a part is detached, nobody
//!    *enters* the module through it. As ftrace does for any livepatch, this waits for text
//!    patching and RCU tasks, but not for a sleeping task, so it may run under `klp_mutex`.
//! 3. [`Lifecycle::finish`] waits until nobody is *inside*. It never runs under a kernel lock:
//!
//!    ```text
//!    finish() of each part      the background pass has ended, reclaimed tasks have their buffers
//!    synchronize_rcu_tasks()    a task that entered before the detach is counted now, or has left
//!    wait for the count         no task sleeps in the module
//!    synchronize_rcu_tasks()    the task that was counted last has left the module's text
//!    ```
//!
//! No code of the module sleeps on user memory, or for as long as another task likes. So these
//! waits are only for allocations, and for runnable tasks to be scheduled.
//!
//! # Invariants
//!
//! - A part's flag is set from the time its `attach` succeeds until its `detach` succeeds.
//! - A module with a part that cannot be detached is never freed: it holds a reference to itself.

use super::refusal::Refusal;
use crate::bindings;
use crate::fault;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, AtomicFlag, Full, Relaxed};

/// Something that is attached to the kernel.
pub(crate) struct Part {
    /// Its name for the log.
    pub(crate) name: &'static CStr,
    /// Attaches it. Changes nothing on failure. May sleep.
    pub(crate) attach: fn() -> Result<(), Refusal>,
    /// Detaches it: from then on nobody enters through it. Changes nothing on failure. May sleep,
    /// but does not wait for a sleeping task.
    pub(crate) detach: fn() -> Result,
    /// Waits for what it started. Called with every part detached and no lock held. May sleep.
    pub(crate) finish: fn(),
}

/// The parts, in the order in which they are attached.
pub(crate) struct Lifecycle<const N: usize> {
    parts: [Part; N],
    attached: [AtomicFlag; N],
    /// Whether anything has been attached since the last [`Self::finish`].
    unfinished: AtomicFlag,
    /// Whether a part could not be detached. This has then been logged once.
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

    /// Attaches every part, or none. After an error the caller must call [`Self::finish`]. May
    /// sleep; calls must not overlap.
    ///
    /// Errors: that of the part that could not be attached.
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

    /// Detaches whatever is attached. Returns whether nothing is attached any more. A part that
    /// cannot be detached keeps the module loaded, unless it is already being removed. May sleep;
    /// calls must not overlap.
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
        // SAFETY: this code is running, so the module exists. The call fails if it is being
        // removed.
        let _ = unsafe { bindings::xfd_get_module() };
    }

    /// Whether a part could not be detached, so that the module's text must stay.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Relaxed)
    }

    /// Waits until nobody who entered through a part is in the module. Does nothing if that has
    /// already been done. May sleep; the caller holds no lock, and calls must not overlap.
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

/// [`Part::finish`] for a part that starts nothing.
pub(crate) fn nothing_to_finish() {}

/// The number of tasks inside the module, for debugfs. Any context.
pub(crate) fn inside() -> i64 {
    // SAFETY: this is a static in inside.c that is only ever modified atomically. Both types are
    // one i64.
    let count: &Atomic<i64> = unsafe { Atomic::from_ptr((&raw mut bindings::xfd_inside).cast()) };
    // SAFETY: this is an aligned bool. If it is stale, the number is briefly off by one.
    let waited_for = unsafe { (&raw const bindings::xfd_waited_for).read_volatile() };
    count.load(Relaxed) - i64::from(!waited_for)
}
