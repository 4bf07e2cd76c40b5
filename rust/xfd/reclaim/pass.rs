// SPDX-License-Identifier: GPL-2.0
//! The background pass: buffers of tasks that are blocked, and were all the time between two looks,
//! with their dynamic components in the initial state (xstate/idle.rs decides).
//!
//! The buffer is exchanged for the one within the task while the scheduler holds the task where it
//! is; tasks.c says when that is safe. Before the task returns to user mode it gets one again
//! (regrow.rs), so nobody can tell but by the memory.

use super::regrow;
use crate::bindings;
use crate::buffer::enlarged::Enlarged;
use crate::buffer::fpstate;
use crate::buffer::pool;
use crate::seam::refusal::Refusal;
use crate::watch::stats::STATS;
use crate::xstate::facility;
use crate::xstate::idle::{self, Clock, Idleness, Note};
use kernel::bindings::task_struct;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};

/// Finds the kernel functions that reclaim must stay away from, and changes nothing.
pub(crate) fn locate() -> Result<(), Refusal> {
    // SAFETY: the gates are bound.
    let missing = unsafe { bindings::xfd_find_holders() };
    if missing.is_null() {
        return Ok(());
    }
    // SAFETY: a C string literal of tasks.c.
    Err(Refusal::NoSymbol(unsafe { CStr::from_char_ptr(missing) }))
}

/// The parts of the life cycle: passes begin. Sleeps.
pub(crate) fn begin() -> Result<(), Refusal> {
    // SAFETY: sleeping is allowed.
    unsafe { bindings::xfd_background_start() };
    Ok(())
}

/// No more passes begin, and one that runs ends early. Sleeps, and does not wait for it.
pub(crate) fn end() -> Result {
    // SAFETY: `begin` began it.
    unsafe { bindings::xfd_background_stop() };
    Ok(())
}

/// Waits for a pass that runs, and gives every task its buffer back. Sleeps.
pub(crate) fn give_back() {
    // SAFETY: sleeping is allowed, and `end` came before.
    unsafe { bindings::xfd_background_synchronize() };
    regrow::give_all_back();
    pool::close();
}

/// How many threads are without their buffer now.
pub(crate) fn owed() -> i64 {
    // SAFETY: a static of C's that only atomic operations change; one i32, as in Rust.
    let count: &Atomic<i32> =
        unsafe { Atomic::from_ptr((&raw mut bindings::xfd_owed_count).cast()) };
    count.load(Relaxed).into()
}

/// One pass over all tasks.
struct Pass {
    now: Clock,
    /// Milliseconds that a task must have been idle.
    interval: u32,
}

/// Looks at all tasks at `now` milliseconds, until `stop`, and frees what the pool does not need.
/// One at a time. Sleeps.
#[no_mangle]
extern "C" fn xfd_background_pass(now: u64, interval: c_uint, stop: *const bool) {
    let mut pass = Pass {
        now: Clock::at(now),
        interval,
    };
    // SAFETY: task context; both are there until it returns.
    unsafe { bindings::xfd_scan_tasks((&raw mut pass).cast(), stop) };
    pool::trim();
}

/// Looks at a task that is held where it is and does not run; its registers are in its fpstate. Whether
/// its buffer may go: `switches` is how often the scheduler has taken it off a CPU. Interrupts off.
///
/// # Safety
///
/// `task` is held, and `pass` is [`xfd_background_pass`]'s.
#[no_mangle]
unsafe extern "C" fn xfd_is_reclaimable(
    task: *mut task_struct,
    pass: *mut c_void,
    switches: u32,
) -> bool {
    // SAFETY: the caller vouches for both.
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

/// Takes the buffer of a task of which [`xfd_is_reclaimable`] said that it may go, and which is still
/// held. Interrupts off.
///
/// # Safety
///
/// As for [`xfd_is_reclaimable`].
#[no_mangle]
unsafe extern "C" fn xfd_take_buffer(task: *mut task_struct) -> *mut bindings::fpstate {
    // SAFETY: the caller vouches for it.
    let enlarged = unsafe { Enlarged::of(bindings::xfd_task_fpu(task).cast()) };
    enlarged.map_or(core::ptr::null_mut(), |enlarged| {
        STATS.reclaimed.count();
        enlarged.exchange_saved().into_raw().as_ptr()
    })
}

/// Frees what [`xfd_take_buffer`] took. Sleeps.
///
/// # Safety
///
/// `state` is of one call of it.
#[no_mangle]
unsafe extern "C" fn xfd_free_buffer(state: *mut bindings::fpstate) {
    // SAFETY: the caller vouches for it: no task has it any more.
    unsafe { fpstate::free(state) }
}
