// SPDX-License-Identifier: GPL-2.0
//! The background pass: takes the buffers of tasks that stayed blocked between two scans with their
//! dynamic components in the initial state (xstate/idle.rs decides).
//!
//! The buffer is exchanged for the task's built-in one while the scheduler holds the task. tasks.c
//! says when that is safe. The task gets a buffer again before it returns to user mode (regrow.rs),
//! so the only visible effect is the amount of free memory.

use crate::bindings;
use crate::buffer::enlarged::Enlarged;
use crate::buffer::fpstate;
use crate::buffer::pool;
use crate::watch::stats::STATS;
use crate::xstate::facility;
use crate::xstate::idle::{self, Clock, Idleness, Note};
use kernel::bindings::task_struct;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};

/// The number of threads whose buffer is reclaimed now. Any context.
pub(crate) fn owed() -> i64 {
    // SAFETY: this is a static in owed.c that is only ever modified atomically. Both types are one
    // i32.
    let count: &Atomic<i32> =
        unsafe { Atomic::from_ptr((&raw mut bindings::xfd_owed_count).cast()) };
    count.load(Relaxed).into()
}

/// One pass over all tasks.
struct Pass {
    now: Clock,
    /// How long a task must have been idle, in milliseconds.
    interval: u32,
}

/// Scans all tasks at the time `now`, in milliseconds, until `stop` becomes true, and frees what
/// the pool does not need. Passes must not overlap. Runs in a worker; may sleep.
#[no_mangle]
extern "C" fn xfd_background_pass(now: u64, interval: c_uint, stop: *const bool) {
    let mut pass = Pass {
        now: Clock::at(now),
        interval,
    };
    // SAFETY: this is process context. `pass` and `stop` outlive the call.
    unsafe { bindings::xfd_scan_tasks((&raw mut pass).cast(), stop) };
    pool::trim();
}

/// Only frees what the pool does not need. Runs in a worker; may sleep.
#[no_mangle]
extern "C" fn xfd_background_trim() {
    pool::trim();
}

/// Whether the buffer of a task may be reclaimed. The task is held and not running, and its
/// registers are in its fpstate. `switches` is its number of context switches. Interrupts off.
///
/// # Safety
///
/// `task` is held, and `pass` comes from [`xfd_background_pass`].
#[no_mangle]
unsafe extern "C" fn xfd_is_reclaimable(
    task: *mut task_struct,
    pass: *mut c_void,
    switches: u32,
) -> bool {
    // SAFETY: by this function's contract `pass` is valid, and a held task's buffer is ours.
    let (pass, enlarged) = unsafe {
        let fpu = bindings::xfd_task_fpu(task).cast();
        (&*pass.cast::<Pass>(), Enlarged::of(fpu))
    };
    let Some(enlarged) = enlarged else {
        return false;
    };
    let noted = Note::from_word(enlarged.note());
    let in_use = enlarged.xfeatures_in_image() & facility::DYNAMIC;
    match idle::classify(in_use, noted, pass.now, pass.interval, switches) {
        Idleness::InUse => enlarged.set_note(0),
        Idleness::IdleSince(note) => enlarged.set_note(note.word()),
        Idleness::Reclaimable => return true,
    }
    false
}

/// Takes the buffer of a task for which [`xfd_is_reclaimable`] returned true, and which is still
/// held. Interrupts off.
///
/// # Safety
///
/// Same as for [`xfd_is_reclaimable`].
#[no_mangle]
unsafe extern "C" fn xfd_take_buffer(task: *mut task_struct) -> *mut bindings::fpstate {
    // SAFETY: by this function's contract the task is held, so its buffer is ours.
    let enlarged = unsafe { Enlarged::of(bindings::xfd_task_fpu(task).cast()) };
    enlarged.map_or(core::ptr::null_mut(), |enlarged| {
        STATS.reclaimed.count();
        enlarged.exchange_saved().into_raw().as_ptr()
    })
}

/// Frees what [`xfd_take_buffer`] took, or does nothing if `state` is NULL. May sleep.
///
/// # Safety
///
/// `state` was returned by [`xfd_take_buffer`] and is freed only once, or it is NULL.
#[no_mangle]
unsafe extern "C" fn xfd_free_buffer(state: *mut bindings::fpstate) {
    // SAFETY: by this function's contract it no longer belongs to a task.
    unsafe { fpstate::free(state) }
}
