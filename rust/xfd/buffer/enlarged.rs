// SPDX-License-Identifier: GPL-2.0
//! Exchanges a task's enlarged buffer for the task's built-in one.
//!
//! The built-in buffer is still as it was before the first use: armed, and without the dynamic
//! components. To the kernel's own code, such a task looks as if it had not used any.

use super::area::Area;
use super::fpstate::{copy_registers, recycle};
use super::registers::{invalidate_fpregs, xstate_bv, Fpregs};
use crate::bindings::{self, fpstate, fpu};
use crate::cpu::current::current_fpu;
use crate::xstate::xfeature::Xfeatures;
use core::ptr::NonNull;

/// A user task's enlarged buffer that is in place.
///
/// # Invariants
///
/// - `fpu` belongs to a task, and `state` is its enlarged buffer.
/// - Nobody else exchanges or reads that buffer while this value exists.
pub(crate) struct Enlarged {
    fpu: *mut fpu,
    state: NonNull<fpstate>,
}

impl Enlarged {
    /// The buffer of `fpu`, if it is enlarged and no guest buffer is in its place.
    ///
    /// # Safety
    ///
    /// `fpu` belongs to a task. Nobody but the caller exchanges or reads its buffer while the
    /// result is in use.
    pub(crate) unsafe fn of(fpu: *mut fpu) -> Option<Self> {
        // SAFETY: `fpu` belongs to a task, and every task has a valid fpstate.
        unsafe {
            let state = NonNull::new((*fpu).fpstate)?;
            // No reference is created here, because the built-in fpstate is smaller than the type.
            let own_area = fpstate::is_valloc_raw(state.as_ptr()) != 0
                && fpstate::is_guest_raw(state.as_ptr()) == 0;
            let in_place = (*fpu).__task_fpstate.is_null();
            // INVARIANT: just checked; the caller guarantees the rest.
            (own_area && in_place).then_some(Self { fpu, state })
        }
    }

    /// XSTATE_BV of the register image: the components that were in use when it was saved.
    pub(crate) fn xfeatures_in_image(&self) -> Xfeatures {
        // SAFETY: by the type invariant this is a valid fpstate, and its image has a header.
        Xfeatures::from_bits(unsafe { xstate_bv(self.state.as_ptr()).read() })
    }

    /// The word that [`Self::set_note`] stored, or 0.
    pub(crate) fn note(&self) -> u64 {
        // SAFETY: by the type invariant this is a valid fpstate. The word lies in the padding in
        // front of the register image (checked in seam.c), which is zero in a new buffer.
        unsafe { note(self.state.as_ptr()).read() }
    }

    /// Stores a word in the buffer. It is lost when the buffer is exchanged.
    pub(crate) fn set_note(&self, word: u64) {
        // SAFETY: as in `note`, and by the type invariant nobody else accesses the buffer.
        unsafe { note(self.state.as_ptr()).write(word) }
    }

    /// Puts the built-in buffer in place with the register contents saved in the enlarged one.
    /// Dynamic components are then in their initial state. The memory passes to the caller.
    pub(crate) fn exchange_saved(self) -> Area {
        // SAFETY: by the type invariant both buffers are ours. The enlarged one is not used after
        // this.
        unsafe {
            copy_registers(self.state.as_ptr(), &raw mut (*self.fpu).__fpstate);
            self.put_builtin_in_place();
            Area::from_raw(self.state)
        }
    }

    fn put_builtin_in_place(&self) {
        // SAFETY: by the type invariant nobody else exchanges the buffers of `fpu`.
        unsafe {
            (*self.fpu).fpstate = &raw mut (*self.fpu).__fpstate;
            // IA32_XFD is written when the registers are loaded.
            invalidate_fpregs(self.fpu);
        }
    }
}

/// Takes away current's enlarged buffer and its register contents. Current never returns to user
/// mode. Task context, interrupts on. Sleeps only on PREEMPT_RT, for the pool's lock.
pub(crate) fn discard_current() {
    // SAFETY: only current exchanges its buffer now, because reclaim does not touch an exiting task
    // (PF_EXITING, tasks.c).
    let Some(enlarged) = (unsafe { Enlarged::of(current_fpu()) }) else {
        return;
    };
    let fpregs = Fpregs::lock();
    // Since the contents are now marked as in memory, no later context switch saves them.
    fpregs.mark_in_memory();
    enlarged.put_builtin_in_place();
    drop(fpregs);
    // SAFETY: current has the built-in buffer, so this one belongs to nobody.
    unsafe { recycle(enlarged.state.as_ptr()) }
}

/// The 8 bytes in front of the register image.
///
/// # Safety
///
/// `state` points to an fpstate.
unsafe fn note(state: *const fpstate) -> *mut u64 {
    // SAFETY: the word lies within the fpstate, in front of the register image.
    unsafe { state.byte_add(bindings::XFD_FPSTATE_NOTE as usize) }
        .cast_mut()
        .cast()
}
