// SPDX-License-Identifier: GPL-2.0
//! An enlarged register buffer (`struct fpstate`) that knows its capacity, and how it is installed.
//!
//! Memory is allocated with no lock held. The exchange is a short section with the registers
//! locked.

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

/// The masks of current's buffer. While a task is running, only the task itself exchanges its
/// buffer. Task context.
pub(crate) fn current_masks() -> Masks {
    // SAFETY: a running task's fpstate is valid, and current is not exchanging it.
    unsafe { masks_of((*current_fpu()).fpstate) }
}

/// Size in bytes of current's register image. Task context.
pub(crate) fn current_size() -> u32 {
    // SAFETY: a running task's fpstate is valid, and current is not exchanging it.
    unsafe { (*(*current_fpu()).fpstate).size }
}

/// The masks of an fpstate.
///
/// # Safety
///
/// `state` points to a valid fpstate that does not change during the call.
pub(crate) unsafe fn masks_of(state: *const fpstate) -> Masks {
    // SAFETY: by this function's contract `state` is valid.
    let (xfeatures, user_xfeatures, xfd) =
        unsafe { ((*state).xfeatures, (*state).user_xfeatures, (*state).xfd) };
    Masks {
        xfeatures: Xfeatures::from_bits(xfeatures),
        user_xfeatures: Xfeatures::from_bits(user_xfeatures),
        xfd: Xfeatures::from_bits(xfd),
    }
}

/// An fpstate that belongs to no task. Dropping it puts it into the pool.
///
/// # Invariants
///
/// Its area has space for a register image of `capacity.kernel_size()` bytes.
pub(crate) struct FpstateBuffer {
    area: ManuallyDrop<Area>,
    capacity: Capacity,
    recycled: bool,
}

impl FpstateBuffer {
    /// A buffer with this capacity, from the pool or newly allocated, with every component in its
    /// initial state. Task context; may sleep.
    ///
    /// Errors: ENOMEM, with [`AllocMode::MayFail`].
    pub(crate) fn obtain(capacity: Capacity, mode: AllocMode) -> Result<Self> {
        if mode == AllocMode::MayFail && fault::allocation_fails() {
            return Err(ENOMEM);
        }
        let pooled = pool::take(capacity.kernel_size());
        let recycled = pooled.is_some();
        let area = match pooled {
            Some(area) => area,
            None => Area::allocate(capacity.kernel_size(), mode)?,
        };
        let state = area.as_ptr();
        // SAFETY: nobody else can access the memory, and the header lies within it.
        unsafe {
            (*state).user_size = capacity.user_size();
            (*state).set_is_valloc(1);
        }
        // INVARIANT: in both cases the area has space for `capacity.kernel_size()` bytes.
        Ok(Self {
            area: ManuallyDrop::new(area),
            capacity,
            recycled,
        })
    }

    /// Whether it comes from the pool.
    pub(crate) fn is_recycled(&self) -> bool {
        self.recycled
    }

    /// Its memory, for writing the members other than the masks.
    pub(crate) fn as_ptr(&self) -> *mut fpstate {
        self.area.as_ptr()
    }

    /// Writes its masks. Returns `None` if they exceed its capacity, which is a bug in this module.
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
        // SAFETY: nobody else can access the memory.
        unsafe {
            (*state).xfeatures = masks.xfeatures.bits();
            (*state).user_xfeatures = masks.user_xfeatures.bits();
            (*state).xfd = masks.xfd.bits();
            set_xcomp_bv(state, masks.xfeatures);
        }
        Some(())
    }

    /// Its memory, which from now on belongs to a task or a virtual CPU.
    pub(crate) fn into_raw(self) -> *mut fpstate {
        ManuallyDrop::new(self).area.as_ptr()
    }

    /// Makes this current's buffer, with space for `used` and for whatever the old buffer holds,
    /// and disarms `used` for current. The register contents stay in the CPU. Task context,
    /// interrupts on; sleeps only on PREEMPT_RT, for the pool's lock.
    ///
    /// The old buffer goes to the pool, unless it is built into the task. Returns `None`, with
    /// nothing changed, if the masks do not fit ([`Self::claim`]).
    #[must_use]
    pub(crate) fn install(mut self, used: Xfeatures) -> Option<()> {
        let fpu = current_fpu();
        let fpregs = Fpregs::lock();
        // Contents that exist only in the old buffer would be lost, because a saved image does not
        // have the new buffer's layout (arch/x86/kernel/fpu/xstate.c:1615-1620).
        let owned = fpregs.load();
        // SAFETY: `fpregs` keeps others away from current's fpstate pointer and from the buffer.
        let old = unsafe { (*fpu).fpstate };
        // SAFETY: `old` is current's fpstate, and `fpregs` keeps it from changing.
        let masks = buffer::commit(unsafe { masks_of(old) }, used, &self.capacity);
        let Some(masks) = masks.filter(|&masks| self.claim(masks).is_some()) else {
            // Do not drop `self` with the registers locked: the pool's lock may sleep on
            // PREEMPT_RT.
            drop(fpregs);
            return None;
        };
        // SAFETY: `fpregs` protects the pointer, and the value comes from current's new fpstate.
        unsafe {
            (*fpu).fpstate = self.into_raw();
            owned.arm(masks.xfd);
        }
        drop(fpregs);
        // SAFETY: current has the new buffer, so the old one belongs to nobody.
        unsafe { recycle(old) };
        Some(())
    }

    /// Makes this the buffer of a task whose registers are in memory, with space for `used`, which
    /// is disarmed. `slot` points to the old buffer, which is built into the task and whose
    /// contents are copied. Does not sleep.
    ///
    /// Errors: returns `self`, with nothing changed, if the masks do not fit.
    ///
    /// # Safety
    ///
    /// `slot` is a member of the task's `struct fpu`. Nobody but the caller accesses it or the
    /// buffer that it points to.
    pub(crate) unsafe fn install_saved(
        mut self,
        slot: *mut *mut fpstate,
        used: Xfeatures,
    ) -> Result<(), Self> {
        // SAFETY: by this function's contract `slot` points to a valid fpstate.
        let masks = buffer::commit(unsafe { masks_of(*slot) }, used, &self.capacity);
        if masks.and_then(|masks| self.claim(masks)).is_none() {
            return Err(self);
        }
        // SAFETY: the caller has exclusive access to both buffers, and the new one's masks are set.
        unsafe {
            copy_registers(*slot, self.as_ptr());
            *slot = self.into_raw();
        }
        Ok(())
    }
}

impl Drop for FpstateBuffer {
    fn drop(&mut self) {
        // SAFETY: `self.area` is not used after this.
        pool::give(unsafe { ManuallyDrop::take(&mut self.area) });
    }
}

/// Puts `state` into the pool, or does nothing if it is built into a task. Task context; sleeps
/// only on PREEMPT_RT, for the pool's lock.
///
/// # Safety
///
/// `state` is a valid fpstate that no longer belongs to a task.
pub(crate) unsafe fn recycle(state: *mut fpstate) {
    // SAFETY: nobody else can access this valid fpstate. If it has its own area, it was allocated
    // by this module or by the kernel's fpstate_realloc() or fpu_alloc_guest_fpstate().
    unsafe {
        if fpstate::is_valloc_raw(state) != 0 {
            pool::give(Area::from_raw(NonNull::new_unchecked(state)));
        }
    }
}

/// Frees the memory of `state`, or does nothing if it is NULL. May sleep.
///
/// # Safety
///
/// `state` is NULL, or a vmalloc area that no longer belongs to a task or a virtual CPU.
pub(crate) unsafe fn free(state: *mut fpstate) {
    if let Some(state) = NonNull::new(state) {
        // SAFETY: by this function's contract nobody else can access it. It was allocated by this
        // module or by the kernel's fpstate_realloc() or fpu_alloc_guest_fpstate().
        unsafe { Area::from_raw(state) }.free()
    }
}

/// Copies the register contents that are in use and that fit into both buffers. The other
/// components are then in their initial state. Any context.
///
/// # Safety
///
/// Both are valid, nobody but the caller accesses them, and the masks of `to` are set.
pub(crate) unsafe fn copy_registers(from: *const fpstate, to: *mut fpstate) {
    let regs = bindings::XFD_FPSTATE_REGS as usize;
    // SAFETY: both buffers are valid, and `moves` stays within the images that their masks
    // describe.
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

/// Writes XCOMP_BV if the kernel uses the compacted format. XRSTORS raises #GP if the header does
/// not say so (SDM vol. 1, 13.8).
///
/// # Safety
///
/// `state` is valid, and nobody but the caller accesses it.
unsafe fn set_xcomp_bv(state: *mut fpstate, xfeatures: Xfeatures) {
    if kernel().capacities.layout().kernel_format() == Format::Compacted {
        let bits = xfeatures.bits() | XCOMP_BV_COMPACTED;
        // SAFETY: every register image has the header, so this lies within the buffer.
        unsafe {
            state
                .byte_add(bindings::XFD_FPSTATE_XCOMP_BV as usize)
                .cast::<u64>()
                .write(bits)
        };
    }
}

/// Writes current's XFD value to the CPU and to its per-CPU copy, regardless of the copy's value.
/// Task context, interrupts on.
pub(crate) fn resync_xfd() {
    let fpregs = Fpregs::lock();
    let owned = fpregs.load();
    // SAFETY: the value comes from an fpstate.
    unsafe { owned.write(current_masks().xfd) }
}
