// SPDX-License-Identifier: GPL-2.0
//! Gives a task whose buffer was reclaimed an enlarged one again. The task does that itself before
//! it returns to user mode (owed.c), or the module does it from outside before it is unloaded.
//!
//! The task then looks like one that has used its tiles and released them: it is disarmed, and
//! signal frames, tracers and core dumps show no difference. The C code would never have taken its
//! memory, so these allocations must not fail: they wait.

use crate::bindings::{self, fpstate, fpu};
use crate::buffer::area::AllocMode;
use crate::buffer::fpstate::FpstateBuffer;
use crate::buffer::registers::Fpregs;
use crate::cpu::current::current_fpu;
use crate::permission::group_perm;
use crate::seam::kernel::kernel;
use crate::watch::stats::STATS;
use crate::xstate::facility;
use crate::xstate::permission::{self, PermissionKind};
use crate::xstate::xfeature::Xfeatures;
use core::ptr;
use kernel::bindings::task_struct;
use kernel::task::Task;

/// What a task had used when its buffer was taken. As there is only one facility, it was that one.
pub(super) const USED: Xfeatures = facility::DYNAMIC;
const _: () = assert!(
    facility::LINUX.count() == 1,
    "remember which of them a task had used"
);

/// Where the pointer to a task's own buffer is, if that is the built-in one.
pub(super) enum Slot {
    /// In `fpstate`, as usual.
    #[cfg_attr(not(MODULE), expect(dead_code, reason = "give_back.rs uses it"))]
    InPlace(*mut *mut fpstate),
    /// In `__task_fpstate`: the task runs a virtual CPU, whose buffer is in `fpstate`.
    Aside(*mut *mut fpstate),
}

impl Slot {
    /// The slot of `fpu`, or `None` if the task has an enlarged buffer.
    ///
    /// # Safety
    ///
    /// `fpu` is a task's, and nobody but the caller exchanges its buffer.
    pub(super) unsafe fn of(fpu: *mut fpu) -> Option<Self> {
        // SAFETY: by the contract of this function `fpu` is valid and does not change.
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

/// Allocates a buffer for all components. Sleeps until there is memory.
pub(super) fn allocate_nofail() -> Option<FpstateBuffer> {
    FpstateBuffer::obtain(kernel().largest_capacity, AllocMode::NoFail).ok()
}

/// Gives current, whose buffer was reclaimed, another one before it returns to user mode, handles a
/// signal or enters a virtual CPU. Does nothing if it has since called exec, because the new
/// program has no permission for tiles. Task context, interrupts on; may sleep.
#[no_mangle]
extern "C" fn xfd_regrow_current() {
    let fpu = current_fpu();
    // SAFETY: this is current's. Its buffer may be exchanged from outside while it is not running,
    // so this is checked again below.
    let lacks = unsafe { Slot::of(fpu) }.is_some();
    if !lacks || !permission::allows(group_perm::xfeatures(PermissionKind::Host), USED) {
        return;
    }
    let Some(buffer) = allocate_nofail() else {
        return;
    };
    // SAFETY: only current itself changes whether it runs a virtual CPU.
    let aside = unsafe { !(*fpu).__task_fpstate.is_null() };
    let installed = if aside {
        let fpregs = Fpregs::lock();
        // SAFETY: `fpregs` keeps others away from current's buffers. The registers in the CPU are
        // the guest's.
        let installed = match unsafe { Slot::of(fpu) } {
            // SAFETY: `fpregs` keeps others away from the slot and from the buffer in it.
            Some(Slot::Aside(slot)) => unsafe { buffer.install_saved(slot, USED) },
            _ => Err(buffer),
        };
        drop(fpregs);
        installed.is_ok()
    } else {
        // If it got one from outside meanwhile, this one replaces it. They are identical.
        buffer.install(USED).is_some()
    };
    if installed {
        // SAFETY: current cannot go away.
        unsafe { count_regrown(Task::current_raw()) };
    }
}

/// Counts a task that got its buffer back, and emits the trace event. Any context except NMI.
///
/// # Safety
///
/// `task` is valid until this returns.
pub(super) unsafe fn count_regrown(task: *mut task_struct) {
    STATS.regrown.count();
    // SAFETY: by this function's contract `task` is valid.
    unsafe { bindings::xfd_trace_regrown(task, kernel().largest_capacity.kernel_size()) };
}
