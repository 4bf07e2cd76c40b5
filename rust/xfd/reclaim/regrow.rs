// SPDX-License-Identifier: GPL-2.0
//! A task whose buffer was reclaimed gets an enlarged one again: by itself, before it returns to user
//! mode (owed.c), or from outside, when the module gives everything back.
//!
//! It is then a task that had its first use and released its tiles: disarmed, in frames, to tracers
//! and in core dumps. The C code would not have taken its memory, so these allocations do not fail:
//! they wait.

use crate::bindings::{self, fpstate, fpu};
use crate::buffer::area::AllocMode;
use crate::buffer::fpstate::FpstateBuffer;
use crate::buffer::registers::{invalidate_fpregs, Fpregs};
use crate::cpu::current::current_fpu;
use crate::permission::group_perm;
use crate::seam::kernel::kernel;
use crate::watch::stats::STATS;
use crate::xstate::facility;
use crate::xstate::permission::{self, PermissionKind};
use crate::xstate::xfeature::Xfeatures;
use core::ptr;
use kernel::bindings::task_struct;
use kernel::prelude::*;
use kernel::task::Task;

/// What a task had used when its buffer was taken: with one facility, that one.
const USED: Xfeatures = facility::DYNAMIC;
const _: () = assert!(facility::LINUX.count() == 1, "remember which of them a task had used");

/// Where a task's own buffer is, if it is the built-in one.
enum Slot {
    /// In its place.
    InPlace(*mut *mut fpstate),
    /// Set aside: the task runs a virtual CPU, the registers of which are in its place.
    Aside(*mut *mut fpstate),
}

impl Slot {
    /// # Safety
    ///
    /// `fpu` is a task's, and nobody but the caller exchanges its buffer.
    unsafe fn of(fpu: *mut fpu) -> Option<Self> {
        // SAFETY: the caller vouches for it.
        unsafe {
            let builtin = &raw const (*fpu).__fpstate;
            if ptr::eq((*fpu).fpstate, builtin) {
                Some(Self::InPlace(&raw mut (*fpu).fpstate))
            } else if ptr::eq((*fpu).__task_fpstate, builtin) {
                Some(Self::Aside(&raw mut (*fpu).__task_fpstate))
            } else {
                None
            }
        }
    }
}

/// A buffer for any task that may use all components. Sleeps until there is memory.
fn allocate_nofail() -> Option<FpstateBuffer> {
    FpstateBuffer::obtain(kernel().largest_capacity, AllocMode::NoFail).ok()
}

/// Current, whose buffer was reclaimed, is about to return to user mode, to handle a signal, or to
/// enter a virtual CPU. Nothing if it has executed another program meanwhile, which may not use tiles.
/// Sleeps.
#[no_mangle]
extern "C" fn xfd_regrow_current() {
    let fpu = current_fpu();
    // SAFETY: current's buffer is exchanged by itself, or from outside while it does not run: looked at
    // again below.
    let lacks = unsafe { Slot::of(fpu) }.is_some();
    if !lacks || !permission::allows(group_perm::xfeatures(PermissionKind::Host), USED) {
        return;
    }
    let Some(buffer) = allocate_nofail() else { return };
    // SAFETY: only current changes whether it runs a virtual CPU.
    let aside = unsafe { !(*fpu).__task_fpstate.is_null() };
    let installed = if aside {
        let fpregs = Fpregs::lock();
        // SAFETY: `fpregs` keeps everybody from current's buffer. The registers in the CPU are the
        // guest's.
        let installed = match unsafe { Slot::of(fpu) } {
            // SAFETY: as above.
            Some(Slot::Aside(slot)) => unsafe { buffer.install_saved(slot, USED) },
            _ => Err(buffer),
        };
        drop(fpregs);
        installed.is_ok()
    } else {
        // If it got one from outside meanwhile, it gets another: they are alike.
        buffer.install(USED).is_some()
    };
    if installed {
        // SAFETY: current.
        unsafe { count_regrown(Task::current_raw()) };
    }
}

/// Counts a task that has its buffer again, and says so to who listens. Any context but NMI.
///
/// # Safety
///
/// `task` does not go meanwhile.
unsafe fn count_regrown(task: *mut task_struct) {
    STATS.regrown.count();
    // SAFETY: the caller vouches for it.
    unsafe { bindings::xfd_trace_regrown(task, kernel().largest_capacity.kernel_size()) };
}

/// Gives every task that lacks its buffer one. Reclaim has ended. Sleeps.
pub(super) fn give_all_back() {
    loop {
        // SAFETY: sleeping is allowed.
        let owed = unsafe { bindings::xfd_claim_owed() };
        if owed.is_null() {
            return;
        }
        let mut offer = allocate_nofail();
        // SAFETY: `owed` was claimed; `offer` is there until it returns.
        unsafe { bindings::xfd_give_to(owed, (&raw mut offer).cast()) };
    }
}

/// Gives `task`, which is held and does not run, the buffer that `offer` is, if it lacks one.
/// `permitted` is the mask of its process. Interrupts off.
///
/// # Safety
///
/// `task` is a user task that is held, and `offer` of [`give_all_back`].
#[no_mangle]
unsafe extern "C" fn xfd_give_held(task: *mut task_struct, permitted: u64, offer: *mut c_void) {
    if !permission::allows(Xfeatures::from_bits(permitted), USED) {
        return;
    }
    // SAFETY: the caller vouches for both.
    let (offer, slot, fpu) = unsafe {
        let fpu: *mut fpu = bindings::xfd_task_fpu(task).cast();
        let offer = &mut *offer.cast::<Option<FpstateBuffer>>();
        (offer, Slot::of(fpu), fpu)
    };
    let Some(slot) = slot else { return };
    let Some(buffer) = offer.take() else { return };
    // SAFETY: as above; the contents are in memory, since the task does not run. A buffer that was not
    // taken must not be dropped here: it goes back to who gave it.
    let installed = unsafe {
        match slot {
            Slot::InPlace(slot) => buffer
                .install_saved(slot, USED)
                .map(|()| invalidate_fpregs(fpu)),
            Slot::Aside(slot) => buffer.install_saved(slot, USED),
        }
    };
    match installed {
        // SAFETY: `task` is held.
        Ok(()) => unsafe { count_regrown(task) },
        Err(unused) => *offer = Some(unused),
    }
}
