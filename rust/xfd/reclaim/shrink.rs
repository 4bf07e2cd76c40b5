// SPDX-License-Identifier: GPL-2.0
//! A task's enlarged buffer is exchanged for the one that is built into the task.
//!
//! The masks of the built-in one are still those of before the first use, armed and without the
//! dynamic components. Its `user_size` becomes that of the enlarged one: the task's signal frames
//! keep their size, and that is how regrow.rs knows such a task.

use crate::cpu::current::current_fpu;
use crate::buffer::fpstate::{masks_of, set_xcomp_bv, xstate_bv, FpstateBuffer};
use crate::seam::bindings::{self, fpstate, fpu};
use crate::seam::kernel::kernel;
use crate::seam::locks::Fpregs;
use crate::xstate::xfeature::Xfeatures;

/// A user task's enlarged buffer, in place.
pub(crate) struct Enlarged {
    fpu: *mut fpu,
    state: *mut fpstate,
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
            let state = (*fpu).fpstate;
            let own_area = (*state).is_valloc() != 0 && (*state).is_guest() == 0;
            let in_place = (*fpu).__task_fpstate.is_null();
            (own_area && in_place).then_some(Self { fpu, state })
        }
    }

    /// XSTATE_BV of the register image: what was in use when it was saved.
    pub(crate) fn xfeatures_in_image(&self) -> Xfeatures {
        // SAFETY: every register image has the header.
        Xfeatures::from_bits(unsafe { xstate_bv(self.state).read() })
    }

    /// What [`Self::set_note`] left, 0 from the start.
    pub(crate) fn note(&self) -> u32 {
        // SAFETY: within the padding between the struct's last member and the register image,
        // zero in a new buffer; seam.c checks that it is padding.
        unsafe { note(self.state).read() }
    }

    /// Leaves a word with the buffer; it goes with it.
    pub(crate) fn set_note(&self, word: u32) {
        // SAFETY: as in `note`.
        unsafe { note(self.state).write(word) }
    }

    /// Exchanges it, with the register contents that it has saved; dynamic ones are in their
    /// initial state.
    pub(crate) fn exchange_saved(self) -> FpstateBuffer {
        // SAFETY: `of` was promised that both are ours.
        unsafe {
            let builtin = &raw mut (*self.fpu).__fpstate;
            copy_registers(self.state, builtin);
            // The registers of no CPU are this task's: XFD is written when they are loaded.
            (*self.fpu).last_cpu = u32::MAX;
        }
        self.put_builtin_in_place()
    }

    fn put_builtin_in_place(self) -> FpstateBuffer {
        // SAFETY: as in `exchange_saved`.
        unsafe {
            let builtin = &raw mut (*self.fpu).__fpstate;
            (*builtin).user_size = (*self.state).user_size;
            (*self.fpu).fpstate = builtin;
            FpstateBuffer::from_raw(core::ptr::NonNull::new_unchecked(self.state))
        }
    }
}

/// Copies the register contents that both buffers have room for; the others are then in their
/// initial state.
///
/// # Safety
///
/// Both are valid and the caller's alone; the masks of `to` are in place.
pub(crate) unsafe fn copy_registers(from: *const fpstate, to: *mut fpstate) {
    let regs = bindings::XFD_FPSTATE_REGS as usize;
    // SAFETY: the caller vouches for both; `moves` stays within the images that the masks need.
    unsafe {
        let (has, takes) = (masks_of(from).xfeatures, masks_of(to).xfeatures);
        for part in kernel().layout.moves(has, takes) {
            core::ptr::copy_nonoverlapping(
                from.byte_add(regs + part.from as usize).cast::<u8>(),
                to.byte_add(regs + part.to as usize).cast::<u8>(),
                part.bytes as usize,
            );
        }
        let in_use = Xfeatures::from_bits(xstate_bv(to).read()) & takes;
        xstate_bv(to).write(in_use.bits());
        set_xcomp_bv(to, takes);
    }
}

/// Takes current's enlarged buffer away, and its register contents with it: current never
/// returns to user mode. Interrupts on; does not sleep.
pub(crate) fn retire() {
    // SAFETY: current exchanges its buffer itself; reclaim leaves a task alone that is about to end
    // (PF_EXITING, tasks.c).
    let Some(enlarged) = (unsafe { Enlarged::of(current_fpu()) }) else {
        return;
    };
    let fpregs = Fpregs::lock();
    // Nothing is saved at the context switches to come, since the contents are "in memory".
    fpregs.mark_in_memory();
    // SAFETY: current's.
    unsafe { (*enlarged.fpu).last_cpu = u32::MAX };
    let buffer = enlarged.put_builtin_in_place();
    drop(fpregs);
    drop(buffer);
}

/// # Safety
///
/// As for [`xstate_bv`].
unsafe fn note(state: *const fpstate) -> *mut u32 {
    // SAFETY: within the fpstate, before the register image.
    unsafe { state.byte_add(bindings::XFD_FPSTATE_NOTE as usize) }
        .cast_mut()
        .cast()
}
