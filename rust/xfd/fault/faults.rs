// SPDX-License-Identifier: GPL-2.0
//! Failing and waiting on request, for the tests (CONFIG_XFD_FAULTS; [`faults_off.rs`] is the
//! default build's).
//!
//! In /sys/kernel/debug/xfd/faults: `fail_allocations`, how many of the coming allocations of a
//! buffer fail; `hold`, the number of the [`Point`] at which tasks wait, 0 lets them go on;
//! `held`, how many wait; `dirty`, how many bytes of the pool's buffers are not zero. And
//! insmod's parameter `fail_step`: the [`Step`] of loading that fails.

use crate::buffer::pool;
use crate::seam::bindings;
use crate::seam::refusal::Refusal;
use crate::watch::stats::of_c;
use kernel::debugfs::{Dir, File};
use kernel::fmt;
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Full, Relaxed};
use kernel::uaccess::UserSliceReader;

/// Where the handler of an #NM can be made to wait; interrupts are on, no lock is held.
#[derive(Clone, Copy)]
#[repr(i64)]
pub(crate) enum Point {
    /// XFD_ERR is zero again.
    Cleared = 1,
    /// The process has the permission.
    Permitted = 2,
    /// There is a larger buffer, and it is not the task's yet.
    Allocated = 3,
    /// Everything is done but returning, or raising the signal.
    Decided = 4,
}

/// The steps of loading (xfd_main.rs), each of which can be made to fail before it does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Step {
    Supported = 1,
    Gates = 2,
    Kernel = 3,
    CallSite = 4,
    Files = 5,
    Livepatch = 6,
    /// The livepatch core has begun, and asks us.
    Redirect = 7,
}

fn fail_allocations() -> &'static Atomic<i64> {
    // SAFETY: a static of faults.c that only atomic operations change.
    unsafe { of_c(&raw mut bindings::xfd_fail_allocations) }
}

/// Waits if `point` is the one to wait at. Sleeps, whatever signals are pending.
pub(crate) fn wait_at(point: Point) {
    // SAFETY: task context, no lock held.
    unsafe { bindings::xfd_wait_at(point as i64) }
}

/// Whether this allocation is one of those that are to fail; counts it.
pub(crate) fn allocation_fails() -> bool {
    let mut left = fail_allocations().load(Relaxed);
    while left > 0 {
        match fail_allocations().cmpxchg(left, left - 1, Full) {
            Ok(_) => return true,
            Err(now) => left = now,
        }
    }
    false
}

/// Fails if `step` is the one to fail.
pub(crate) fn load_step(step: Step) -> Result<(), Refusal> {
    // SAFETY: written by the kernel before the module's initialisation, and by nobody after it.
    if unsafe { bindings::xfd_fail_step } == step as i32 {
        Err(Refusal::OnRequest(step))
    } else {
        Ok(())
    }
}

/// One of the knobs, as its file shows it and takes it.
struct Knob(&'static Atomic<i64>);

fn show(knob: &Knob, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}", knob.0.load(Relaxed))
}

/// The decimal number that `reader` has.
fn number(reader: &mut UserSliceReader) -> Result<i64> {
    let mut text = [0; 21];
    let length = reader.len();
    let text = text.get_mut(..length).ok_or(EINVAL)?;
    reader.read_slice(text)?;
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    text.trim().parse().map_err(|_| EINVAL)
}

fn set_fail_allocations(knob: &Knob, reader: &mut UserSliceReader) -> Result {
    knob.0.store(number(reader)?, Relaxed);
    Ok(())
}

fn set_hold(_: &Knob, reader: &mut UserSliceReader) -> Result {
    let point = number(reader)?;
    if !(0..=Point::Decided as i64).contains(&point) {
        return Err(EINVAL);
    }
    // SAFETY: wakes tasks; sleeping is allowed.
    unsafe { bindings::xfd_hold_at(point) };
    Ok(())
}

/// Bytes that tasks left in the pool's buffers.
struct Dirty;

fn show_dirty(_: &Dirty, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}", pool::dirty_bytes())
}

/// The knobs' files; they go when this is dropped, and no task is left waiting.
#[pin_data(PinnedDrop)]
pub(crate) struct Files {
    #[pin]
    fail_allocations: File<Knob>,
    #[pin]
    hold: File<Knob>,
    #[pin]
    held: File<Knob>,
    #[pin]
    dirty: File<Dirty>,
    _dir: Dir,
}

impl Files {
    /// Makes the folder `faults` in `parent`.
    pub(crate) fn new(parent: &Dir) -> impl PinInit<Self, Error> {
        let dir = parent.subdir(c"faults");
        // SAFETY: as in `fail_allocations`.
        let (hold, held) = unsafe {
            (
                of_c(&raw mut bindings::xfd_hold),
                of_c(&raw mut bindings::xfd_held),
            )
        };
        try_pin_init!(Self {
            fail_allocations <- dir.read_write_callback_file(
                c"fail_allocations", Knob(fail_allocations()), &show, &set_fail_allocations),
            hold <- dir.read_write_callback_file(c"hold", Knob(hold), &show, &set_hold),
            held <- dir.read_callback_file(c"held", Knob(held), &show),
            dirty <- dir.read_callback_file(c"dirty", Dirty, &show_dirty),
            _dir: dir.clone(),
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Files {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: as in `set_hold`.
        unsafe { bindings::xfd_hold_at(0) }
    }
}
