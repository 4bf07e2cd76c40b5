// SPDX-License-Identifier: GPL-2.0
//! An enlarged register buffer (`struct fpstate`) that knows its room, and putting it in place.
//!
//! Memory is had with no lock held; the exchange is one short section with the registers locked.

use super::area::{AllocMode, Area};
use super::pool;
use super::registers::{xstate_bv, Fpregs};
use crate::bindings::{self, fpstate};
use crate::cpu::current::current_fpu;
use crate::fault;
use crate::seam::kernel::kernel;
use crate::xstate::buffer::{self, Masks};
use crate::xstate::capacity::Capacity;
use crate::xstate::layout::{Format, XCOMP_BV_COMPACTED};
use crate::xstate::xfeature::Xfeatures;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A task's masks, as its buffer says them. Only the task itself exchanges its buffer while it runs.
pub(crate) fn current_masks() -> Masks {
    // SAFETY: `fpstate` of a running task is never NULL, and current does not exchange it now.
    unsafe { masks_of((*current_fpu()).fpstate) }
}

/// Bytes of current's register image.
pub(crate) fn current_size() -> u32 {
    // SAFETY: as in `current_masks`.
    unsafe { (*(*current_fpu()).fpstate).size }
}

/// # Safety
///
/// `state` points to a valid fpstate that does not change meanwhile.
pub(crate) unsafe fn masks_of(state: *const fpstate) -> Masks {
    // SAFETY: the caller vouches for `state`.
    let (xfeatures, user_xfeatures, xfd) =
        unsafe { ((*state).xfeatures, (*state).user_xfeatures, (*state).xfd) };
    Masks {
        xfeatures: Xfeatures::from_bits(xfeatures),
        user_xfeatures: Xfeatures::from_bits(user_xfeatures),
        xfd: Xfeatures::from_bits(xfd),
    }
}

/// An fpstate that no task has. Dropping it gives it to the pool, without sleeping.
///
/// # Invariants
///
/// Its area has room for a register image of `capacity.kernel_size()` bytes.
pub(crate) struct FpstateBuffer {
    area: ManuallyDrop<Area>,
    capacity: Capacity,
}

impl FpstateBuffer {
    /// A buffer with this room, every component in its initial state: one from the pool, or a new
    /// one. Sleeps.
    ///
    /// Errors: ENOMEM, with [`AllocMode::MayFail`].
    pub(crate) fn obtain(capacity: Capacity, mode: AllocMode) -> Result<Self> {
        if mode == AllocMode::MayFail && fault::allocation_fails() {
            return Err(ENOMEM);
        }
        let area = match pool::take(capacity.kernel_size()) {
            Some(area) => area,
            None => Area::allocate(capacity.kernel_size(), mode)?,
        };
        let state = area.as_ptr();
        // SAFETY: nobody else has the memory; it is aligned, and holds the struct's head.
        unsafe {
            (*state).user_size = capacity.user_size();
            (*state).set_is_valloc(1);
        }
        // INVARIANT: both ways give an area of `capacity.kernel_size()` bytes.
        Ok(Self {
            area: ManuallyDrop::new(area),
            capacity,
        })
    }

    /// Its memory, for writing what a task's buffer says besides its masks.
    pub(crate) fn as_ptr(&self) -> *mut fpstate {
        self.area.as_ptr()
    }

    /// Writes what it says of itself. `None`, which is a bug of ours, if it has no room for that.
    #[must_use]
    pub(crate) fn claim(&mut self, masks: Masks) -> Option<()> {
        if !self.capacity.fits(masks) {
            kernel::pr_err_once!(
                "a register buffer is too small for xfeatures {:#x}\n",
                masks.xfeatures.bits()
            );
            return None;
        }
        let state = self.as_ptr();
        // SAFETY: nobody else has the memory.
        unsafe {
            (*state).xfeatures = masks.xfeatures.bits();
            (*state).user_xfeatures = masks.user_xfeatures.bits();
            (*state).xfd = masks.xfd.bits();
            set_xcomp_bv(state, masks.xfeatures);
        }
        Some(())
    }

    /// Its memory, which is a task's or a virtual CPU's from now on.
    pub(crate) fn into_raw(self) -> *mut fpstate {
        ManuallyDrop::new(self).area.as_ptr()
    }

    /// Makes this current's buffer, with room for `used` as well as for what the old one had, and
    /// disarms `used` for current. The register contents stay in the CPU. Interrupts on.
    ///
    /// The old buffer goes to the pool unless it is the one within the task. `None` if it has not
    /// got the room ([`Self::claim`]); nothing is changed then.
    #[must_use]
    pub(crate) fn install(mut self, used: Xfeatures) -> Option<()> {
        let fpu = current_fpu();
        let fpregs = Fpregs::lock();
        // What the old buffer holds would be lost, and a saved image does not fit the new
        // buffer's layout (arch/x86/kernel/fpu/xstate.c:1615-1620).
        let owned = fpregs.load();
        // SAFETY: `fpregs` keeps everybody from current's fpstate pointer and its old buffer.
        let old = unsafe { (*fpu).fpstate };
        // SAFETY: as above.
        let masks = buffer::commit(unsafe { masks_of(old) }, used, &self.capacity);
        let Some(masks) = masks.filter(|&masks| self.claim(masks).is_some()) else {
            // Not with the registers locked: the pool has a lock that sleeps on PREEMPT_RT.
            drop(fpregs);
            return None;
        };
        // SAFETY: as above; the value is that of current's fpstate.
        unsafe {
            (*fpu).fpstate = self.into_raw();
            owned.arm(masks.xfd);
        }
        drop(fpregs);
        // SAFETY: current has the new one.
        unsafe { recycle(old) };
        Some(())
    }

    /// Makes this a task's buffer, with room for `used` as well, which are disarmed. `slot` is where
    /// the task's buffer is; its contents are in memory, and are copied. The old one is the one
    /// within the task. Does not sleep.
    ///
    /// Errors: itself, if it has not got the room; nothing is changed then.
    ///
    /// # Safety
    ///
    /// `slot` is a member of the task's `struct fpu`, and the caller's alone, as what it points to.
    pub(crate) unsafe fn install_saved(
        mut self,
        slot: *mut *mut fpstate,
        used: Xfeatures,
    ) -> Result<(), Self> {
        // SAFETY: the caller vouches for both.
        let masks = buffer::commit(unsafe { masks_of(*slot) }, used, &self.capacity);
        if masks.and_then(|masks| self.claim(masks)).is_none() {
            return Err(self);
        }
        // SAFETY: as above.
        unsafe {
            copy_registers(*slot, self.as_ptr());
            *slot = self.into_raw();
        }
        Ok(())
    }
}

impl Drop for FpstateBuffer {
    fn drop(&mut self) {
        // SAFETY: it is not used after this.
        pool::give(unsafe { ManuallyDrop::take(&mut self.area) });
    }
}

/// Gives `state`, which a task had, to the pool; nothing if it is the one built into a task. Does
/// not sleep.
///
/// # Safety
///
/// `state` is valid, and no task has it any more.
pub(crate) unsafe fn recycle(state: *mut fpstate) {
    // SAFETY: a valid fpstate, and the caller's alone; those with an area of their own were made by
    // this module or by the kernel's fpstate_realloc() or fpu_alloc_guest_fpstate().
    unsafe {
        if fpstate::is_valloc_raw(state) != 0 {
            pool::give(Area::from_raw(NonNull::new_unchecked(state)));
        }
    }
}

/// Returns the memory of `state` to the kernel; nothing if it is NULL. Sleeps.
///
/// # Safety
///
/// `state` is NULL, or a vmalloc area that no task and no virtual CPU has any more.
pub(crate) unsafe fn free(state: *mut fpstate) {
    if let Some(state) = NonNull::new(state) {
        // SAFETY: the caller vouches for it; they are made by this module or by the kernel's
        // fpstate_realloc() or fpu_alloc_guest_fpstate().
        unsafe { Area::from_raw(state) }.free()
    }
}

/// Copies the register contents that are in use and that both buffers have room for; the others are
/// then in their initial state.
///
/// # Safety
///
/// Both are valid and the caller's alone; the masks of `to` are in place.
pub(crate) unsafe fn copy_registers(from: *const fpstate, to: *mut fpstate) {
    let regs = bindings::XFD_FPSTATE_REGS as usize;
    // SAFETY: the caller vouches for both; `moves` stays within the images that the masks need.
    unsafe {
        let (has, takes) = (masks_of(from).xfeatures, masks_of(to).xfeatures);
        let in_use = Xfeatures::from_bits(xstate_bv(from).read()) & takes;
        for part in kernel().capacities.layout().moves(has, takes, in_use) {
            core::ptr::copy_nonoverlapping(
                from.byte_add(regs + part.from as usize).cast::<u8>(),
                to.byte_add(regs + part.to as usize).cast::<u8>(),
                part.bytes as usize,
            );
        }
        xstate_bv(to).write(in_use.bits());
        set_xcomp_bv(to, takes);
    }
}

/// XRSTORS raises #GP on a header that does not name the compacted format (SDM vol. 1, 13.8).
///
/// # Safety
///
/// `state` is the caller's alone.
unsafe fn set_xcomp_bv(state: *mut fpstate, xfeatures: Xfeatures) {
    if kernel().capacities.layout().kernel_format() == Format::Compacted {
        let bits = xfeatures.bits() | XCOMP_BV_COMPACTED;
        // SAFETY: within the buffer: every register image has the header.
        unsafe {
            state
                .byte_add(bindings::XFD_FPSTATE_XCOMP_BV as usize)
                .cast::<u64>()
                .write(bits)
        };
    }
}

/// Writes current's XFD value to the CPU and its per-CPU copy, whatever the copy says.
pub(crate) fn resync_xfd() {
    let fpregs = Fpregs::lock();
    let owned = fpregs.load();
    // SAFETY: the value is an fpstate's.
    unsafe { owned.write(current_masks().xfd) }
}
