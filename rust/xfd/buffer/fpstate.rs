// SPDX-License-Identifier: GPL-2.0
//! The task's register buffer (`struct fpstate`): allocating a larger one, putting it in place.
//!
//! Memory is had with no lock held; the exchange is one short section with the registers locked.
//! Buffers come from vmalloc, as the kernel's own do: whichever is in place when a task is
//! released is freed by the kernel's `fpstate_free()`, with or without this module loaded.

use crate::cpu::{current::current_fpu, msr};
use crate::fault;
use crate::buffer::pool;
use crate::seam::bindings::{self, fpstate};
use crate::seam::kernel::kernel;
use crate::seam::locks::Fpregs;
use crate::xstate::layout::{Format, XCOMP_BV_COMPACTED};
use crate::xstate::{arming, buffer, buffer::Masks, xfeature::Xfeatures};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::prelude::*;

/// A task's masks, as its buffer says them. Only the task itself exchanges its buffer.
pub(crate) fn current_masks() -> Masks {
    // SAFETY: `fpstate` of a running task is never NULL, and current does not exchange it now.
    unsafe { masks_of((*current_fpu()).fpstate) }
}

/// Bytes of current's register image.
pub(crate) fn current_size() -> u32 {
    // SAFETY: as in `current_masks`.
    unsafe { (*(*current_fpu()).fpstate).size }
}

/// Whether current's `struct fpu` looks as it must for a task that is loading a module:
/// the built-in fpstate in place, of `default_size` bytes.
pub(crate) fn plausible(default_size: u32) -> bool {
    let fpu = current_fpu();
    // SAFETY: even if the layout is another, this is within current's allocation: every
    // task_struct is followed by at least a struct fpu.
    unsafe { (*fpu).fpstate == &raw mut (*fpu).__fpstate && (*fpu).__fpstate.size == default_size }
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

/// An fpstate of its own vmalloc area that no task has. Dropping it gives it to the pool, without
/// sleeping.
pub(crate) struct FpstateBuffer(NonNull<fpstate>);

// SAFETY: an area that nobody else knows; any CPU may use and free it.
unsafe impl Send for FpstateBuffer {}

impl FpstateBuffer {
    /// A buffer with room for a register image of `kernel_size` bytes, every component in its
    /// initial state: one from the pool, or a new one. Sleeps.
    ///
    /// Errors: ENOMEM.
    pub(crate) fn obtain(kernel_size: u32, user_size: u32) -> Result<Self> {
        if fault::allocation_fails() {
            return Err(ENOMEM);
        }
        let buffer = match pool::take(kernel_size) {
            Some(buffer) => buffer,
            None => Self::allocate(kernel_size)?,
        };
        // SAFETY: nobody else has the memory; it is aligned, and holds the struct's head.
        unsafe {
            let state = buffer.0.as_ptr();
            (*state).size = kernel_size;
            (*state).user_size = user_size;
            (*state).set_is_valloc(1);
        }
        Ok(buffer)
    }

    /// Allocates a buffer for a register image of `kernel_size` bytes, all of it zero. Sleeps.
    ///
    /// Errors: ENOMEM.
    // Not the kernel crate's Vmalloc: /proc/vmallocinfo names the function that called vmalloc,
    // and these areas must be told from everybody else's.
    #[inline(never)]
    pub(crate) fn allocate(kernel_size: u32) -> Result<Self> {
        let bytes = bindings::XFD_FPSTATE_REGS as usize + kernel_size as usize;
        // SAFETY: may be called wherever sleeping is allowed; returns NULL or `bytes` zeroed
        // bytes on a page boundary.
        let area = unsafe { bindings::vzalloc_noprof(bytes) };
        let buffer = NonNull::new(area.cast::<fpstate>()).ok_or(ENOMEM)?;
        // SAFETY: nobody else has the memory.
        unsafe { (*buffer.as_ptr()).size = kernel_size };
        Ok(Self(buffer))
    }

    /// Bytes of the register image.
    pub(crate) fn size(&self) -> u32 {
        // SAFETY: nobody else has the memory; `obtain` and `allocate` wrote the size.
        unsafe { self.0.as_ref() }.size
    }

    /// Clears all that a task wrote or was written for it: head and register image.
    pub(crate) fn clear(&mut self) {
        let bytes = bindings::XFD_FPSTATE_REGS as usize + self.size() as usize;
        // SAFETY: `allocate`, or the kernel's fpstate_realloc(), asked for as many bytes.
        unsafe { self.0.cast::<u8>().write_bytes(0, bytes) }
    }

    /// Its memory, which only [`Self::from_raw`] gives back.
    pub(crate) fn into_raw(self) -> NonNull<fpstate> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    ///
    /// `state` is of [`Self::into_raw`], and of one call of it.
    pub(crate) unsafe fn from_raw(state: NonNull<fpstate>) -> Self {
        Self(state)
    }

    /// Returns the memory to the kernel. Sleeps.
    pub(crate) fn free(self) {
        // SAFETY: a vmalloc area that no task has; the caller may sleep.
        unsafe { bindings::vfree(self.into_raw().as_ptr().cast()) }
    }

    /// Has a worker of the kernel's return the memory. Any context but NMI.
    pub(crate) fn free_later(self) {
        // SAFETY: a vmalloc area that no task has.
        unsafe { bindings::kvfree_atomic(self.into_raw().as_ptr().cast()) }
    }

    /// Takes `state` back from a task; `None` if it is the one built into a task.
    ///
    /// # Safety
    ///
    /// No task has `state` any more.
    pub(crate) unsafe fn abandoned(state: *mut fpstate) -> Option<Self> {
        let state = NonNull::new(state)?;
        // SAFETY: a valid fpstate, and the caller's alone.
        let own_area = unsafe { state.as_ref() }.is_valloc() != 0;
        own_area.then(|| Self(state))
    }

    /// Makes this current's buffer, with room for `used` as well as for what the old one had, and
    /// disarms `used` for current. The register contents stay in the CPU. Interrupts on.
    ///
    /// The old buffer goes to the pool unless it is the one within the task.
    pub(crate) fn install(self, used: Xfeatures) {
        let fpu = current_fpu();
        let new = self.into_raw().as_ptr();

        let fpregs = Fpregs::lock();
        // What the old buffer holds would be lost, and a saved image does not fit the new
        // buffer's layout (arch/x86/kernel/fpu/xstate.c:1615-1620).
        fpregs.load();
        // SAFETY: `fpregs` keeps everybody from current's fpstate pointer and its old buffer;
        // `new` is nobody else's yet.
        let old = unsafe {
            let old = (*fpu).fpstate;
            let masks = buffer::commit(masks_of(old), used);
            set_masks(new, masks);
            set_xcomp_bv(new, masks.xfeatures);
            (*fpu).fpstate = new;
            old
        };
        // SAFETY: preemption is off and the registers are ours by `fpregs`; the value is current's
        // fpstate's.
        unsafe { arm(current_masks().xfd) };
        drop(fpregs);
        // SAFETY: current has the new one.
        drop(unsafe { Self::abandoned(old) });
    }
}

impl Drop for FpstateBuffer {
    fn drop(&mut self) {
        pool::give(Self(self.0));
    }
}

/// # Safety
///
/// `state` is the caller's alone.
pub(crate) unsafe fn set_masks(state: *mut fpstate, masks: Masks) {
    // SAFETY: the caller vouches for `state`.
    unsafe {
        (*state).xfeatures = masks.xfeatures.bits();
        (*state).user_xfeatures = masks.user_xfeatures.bits();
        (*state).xfd = masks.xfd.bits();
    }
}

/// XSTATE_BV of a register image: what was in use when it was saved.
///
/// # Safety
///
/// `state` points to an fpstate.
pub(crate) unsafe fn xstate_bv(state: *const fpstate) -> *mut u64 {
    // SAFETY: within the fpstate: every register image has the header.
    unsafe { state.byte_add(bindings::XFD_FPSTATE_XSTATE_BV as usize) }
        .cast_mut()
        .cast()
}

/// Makes a register image that is all zero one of the initial state, for the masks of `state`.
///
/// # Safety
///
/// `state` is the caller's alone.
pub(crate) unsafe fn init_registers(state: *mut fpstate) {
    // SAFETY: the caller vouches for `state`.
    unsafe { bindings::xfd_gate_init_fpstate(state) }
}

/// XRSTORS raises #GP on a header that does not name the compacted format (SDM vol. 1, 13.8).
///
/// # Safety
///
/// `state` is the caller's alone.
pub(crate) unsafe fn set_xcomp_bv(state: *mut fpstate, xfeatures: Xfeatures) {
    if kernel().layout.kernel_format() == Format::Compacted {
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

/// Brings IA32_XFD and its per-CPU copy to `wanted`; writes only if they differ, as
/// `xfd_update_state()` (arch/x86/kernel/fpu/xstate.h:189).
///
/// # Safety
///
/// Preemption is off, the registers are the caller's, and `wanted` is what an fpstate may say: a
/// subset of what the kernel armed at boot.
pub(crate) unsafe fn arm(wanted: Xfeatures) {
    let copy = kernel().xfd_state;
    if let Some(value) = arming::write_needed(Xfeatures::from_bits(copy.get()), wanted) {
        // SAFETY: the caller vouches for all of it.
        unsafe {
            msr::write_xfd(value.bits());
            copy.set(value.bits());
        }
    }
}

/// Writes current's XFD value to the CPU and its per-CPU copy, whatever the copy says.
pub(crate) fn rearm_as_current() {
    let _fpregs = Fpregs::lock();
    let wanted = current_masks().xfd.bits();
    // SAFETY: preemption is off by the guard; the value is an fpstate's.
    unsafe {
        msr::write_xfd(wanted);
        kernel().xfd_state.set(wanted);
    }
}
