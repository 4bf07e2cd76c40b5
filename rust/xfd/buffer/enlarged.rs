// SPDX-License-Identifier: GPL-2.0
//! A task's enlarged buffer is exchanged for the one that is built into the task.
//!
//! The built-in one is still what it was before the first use: armed, and without the dynamic
//! components. To the kernel's own code such a task is one that has not used any.

use super::area::Area;
use super::fpstate::{copy_registers, recycle};
use super::registers::{invalidate_fpregs, xstate_bv, Fpregs};
use crate::bindings::{self, fpstate, fpu};
use crate::cpu::current::current_fpu;
use crate::xstate::xfeature::Xfeatures;
use core::ptr::NonNull;

/// A user task's enlarged buffer, in place.
pub(crate) struct Enlarged {
    fpu: *mut fpu,
    state: NonNull<fpstate>,
}

impl Enlarged {
    /// That of `fpu`, if it has one and no guest's registers are in its place.
    ///
    /// # Safety
    ///
    /// `fpu` is a task's, and nobody but the caller exchanges or reads its buffer as long as the
    /// result is used.
    pub(crate) unsafe fn of(fpu: *mut fpu) -> Option<Self> {
        // SAFETY: every task has a valid fpstate.
        unsafe {
            let state = NonNull::new((*fpu).fpstate)?;
            // No reference: the built-in one is smaller than the type.
            let own_area = fpstate::is_valloc_raw(state.as_ptr()) != 0
                && fpstate::is_guest_raw(state.as_ptr()) == 0;
            let in_place = (*fpu).__task_fpstate.is_null();
            (own_area && in_place).then_some(Self { fpu, state })
        }
    }

    /// XSTATE_BV of the register image: what was in use when it was saved.
    pub(crate) fn xfeatures_in_image(&self) -> Xfeatures {
        // SAFETY: every register image has the header.
        Xfeatures::from_bits(unsafe { xstate_bv(self.state.as_ptr()).read() })
    }

    /// What [`Self::set_note`] left, 0 from the start.
    pub(crate) fn note(&self) -> u64 {
        // SAFETY: within the padding between the struct's last member and the register image,
        // zero in a new buffer; seam.c checks that it is padding.
        unsafe { note(self.state.as_ptr()).read() }
    }

    /// Leaves a word with the buffer; it goes with it.
    pub(crate) fn set_note(&self, word: u64) {
        // SAFETY: as in `note`.
        unsafe { note(self.state.as_ptr()).write(word) }
    }

    /// Exchanges it, with the register contents that it has saved; dynamic ones are in their
    /// initial state. The area is the caller's.
    pub(crate) fn exchange_saved(self) -> Area {
        // SAFETY: `of` was promised that both are ours.
        unsafe {
            copy_registers(self.state.as_ptr(), &raw mut (*self.fpu).__fpstate);
            self.put_builtin_in_place();
            Area::from_raw(self.state)
        }
    }

    fn put_builtin_in_place(&self) {
        // SAFETY: as in `exchange_saved`.
        unsafe {
            (*self.fpu).fpstate = &raw mut (*self.fpu).__fpstate;
            // XFD is written when they are loaded.
            invalidate_fpregs(self.fpu);
        }
    }
}

/// Takes current's enlarged buffer away, and its register contents with it: current never
/// returns to user mode. Interrupts on; does not sleep.
pub(crate) fn discard_current() {
    // SAFETY: current exchanges its buffer itself; reclaim leaves a task alone that is about to end
    // (PF_EXITING, tasks.c).
    let Some(enlarged) = (unsafe { Enlarged::of(current_fpu()) }) else {
        return;
    };
    let fpregs = Fpregs::lock();
    // Nothing is saved at the context switches to come, since the contents are "in memory".
    fpregs.mark_in_memory();
    enlarged.put_builtin_in_place();
    drop(fpregs);
    // SAFETY: current has the built-in one.
    unsafe { recycle(enlarged.state.as_ptr()) }
}

/// # Safety
///
/// As for [`xstate_bv`].
unsafe fn note(state: *const fpstate) -> *mut u64 {
    // SAFETY: within the fpstate, before the register image.
    unsafe { state.byte_add(bindings::XFD_FPSTATE_NOTE as usize) }
        .cast_mut()
        .cast()
}
