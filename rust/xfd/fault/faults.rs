// SPDX-License-Identifier: GPL-2.0
//! Failing and waiting on request, for the tests (CONFIG_XFD_FAULTS; [`faults_off.rs`] is the
//! default build's).
//!
//! In /sys/kernel/debug/xfd/faults: `fail_allocations`, how many of the coming allocations of a
//! buffer fail; `hold`, the number of the [`Point`] at which tasks wait, 0 lets them go on;
//! `held`, how many wait; `dirty`, how many bytes of the pool's buffers are not zero. And
//! insmod's parameters: `fail_step`, the number of the step of loading that fails, and `fail_detach`, with
//! which nothing can be detached.

use crate::bindings;
use crate::seam::refusal::Refusal;
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

/// The steps of loading (xfd_main.rs) before anything is attached, each of which can be made to fail
/// before it does anything. Those that attach follow ([`attach_step`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Step {
    Supported = 1,
    Gates = 2,
    Kernel = 3,
    CallSite = 4,
    Files = 5,
    Livepatch = 6,
}

/// The number of the first step that attaches something.
const FIRST_ATTACHED: i32 = 7;

/// A static of faults.c.
///
/// # Safety
///
/// `number` points to a static of C's that only atomic operations change.
unsafe fn of_c(number: *mut bindings::atomic64_t) -> &'static Atomic<i64> {
    // SAFETY: the caller vouches for it; one i64, as in Rust.
    unsafe { Atomic::from_ptr(number.cast()) }
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
    let name = match step {
        Step::Supported => c"Supported",
        Step::Gates => c"Gates",
        Step::Kernel => c"Kernel",
        Step::CallSite => c"CallSite",
        Step::Files => c"Files",
        Step::Livepatch => c"Livepatch",
    };
    fail(step as i32, name)
}

/// Fails if attaching the part with this number in the list of xfd_main.rs is the step to fail.
pub(crate) fn attach_step(part: usize, name: &'static CStr) -> Result<(), Refusal> {
    fail(FIRST_ATTACHED + part as i32, name)
}

fn fail(step: i32, name: &'static CStr) -> Result<(), Refusal> {
    // SAFETY: written by the kernel before the module's initialisation, and by nobody after it.
    if unsafe { bindings::xfd_fail_step } == step {
        Err(Refusal::OnRequest(name))
    } else {
        Ok(())
    }
}

/// Whether nothing is to be detached.
pub(crate) fn detach_fails() -> bool {
    // SAFETY: an aligned bool, read in one piece, whatever its writer does meanwhile.
    unsafe { (&raw const bindings::xfd_fail_detach).read_volatile() }
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
struct Dirty(fn() -> i64);

fn show_dirty(dirty: &Dirty, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}", (dirty.0)())
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
    /// Makes the folder `faults` in `parent`; `dirty` counts what `dirty` shows.
    pub(crate) fn new(parent: &Dir, dirty: fn() -> i64) -> impl PinInit<Self, Error> {
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
            dirty <- dir.read_callback_file(c"dirty", Dirty(dirty), &show_dirty),
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
