// SPDX-License-Identifier: GPL-2.0
//! The memory of an enlarged register buffer: a vmalloc area, as the kernel's own code makes it, so
//! that the kernel's `fpstate_free()` can free each of them, with or without this module loaded.

use crate::bindings::{self, fpstate};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::prelude::*;

/// What happens if there is no memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllocMode {
    /// The allocation fails: the C code's fails at this place, too.
    MayFail,
    /// It waits until there is some. For those to whom the C code has given their memory before,
    /// and who cannot be told of a failure.
    NoFail,
}

/// An fpstate of its own vmalloc area that no task has. Not to be dropped: [`Self::free`].
///
/// # Invariants
///
/// The area has at least `XFD_FPSTATE_REGS` + `size` bytes, `size` being the head's member.
pub(crate) struct Area(NonNull<fpstate>);

// SAFETY: an area that nobody else knows; any CPU may use and free it.
unsafe impl Send for Area {}

impl Area {
    /// A register image of `kernel_size` bytes and its head, all of it zero. Sleeps.
    ///
    /// Errors: ENOMEM, with [`AllocMode::MayFail`].
    // Not the kernel crate's Vmalloc: /proc/vmallocinfo names the function that called vmalloc,
    // and these areas must be told from everybody else's.
    #[inline(never)]
    pub(crate) fn allocate(kernel_size: u32, mode: AllocMode) -> Result<Self> {
        let bytes = bindings::XFD_FPSTATE_REGS as usize + kernel_size as usize;
        // SAFETY: may be called wherever sleeping is allowed; returns NULL or `bytes` zeroed
        // bytes on a page boundary.
        let area = unsafe {
            match mode {
                AllocMode::MayFail => bindings::vzalloc_noprof(bytes),
                AllocMode::NoFail => bindings::__vmalloc_noprof(bytes, bindings::XFD_GFP_NOFAIL),
            }
        };
        let area = NonNull::new(area.cast::<fpstate>()).ok_or(ENOMEM)?;
        // SAFETY: nobody else has the memory.
        unsafe { (*area.as_ptr()).size = kernel_size };
        // INVARIANT: that many bytes were allocated.
        Ok(Self(area))
    }

    /// Where it is.
    pub(crate) fn as_ptr(&self) -> *mut fpstate {
        self.0.as_ptr()
    }

    /// Bytes of the register image.
    pub(crate) fn size(&self) -> u32 {
        // SAFETY: nobody else has the memory, and it has a head.
        unsafe { (*self.0.as_ptr()).size }
    }

    /// Clears all that a task wrote or was written for it: head, but for its size, and register
    /// image.
    pub(crate) fn clear(&mut self) {
        let size = self.size();
        let bytes = bindings::XFD_FPSTATE_REGS as usize + size as usize;
        // SAFETY: by the type's invariant there are as many bytes, and nobody else has them.
        unsafe {
            self.0.cast::<u8>().write_bytes(0, bytes);
            (*self.0.as_ptr()).size = size;
        }
    }

    /// Its memory, which only [`Self::from_raw`] gives back.
    pub(crate) fn into_raw(self) -> NonNull<fpstate> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    ///
    /// `state` is of [`Self::into_raw`], and of one call of it; or it is an enlarged buffer of the
    /// kernel's own (fpstate_realloc(), arch/x86/kernel/fpu/xstate.c) that no task has any more.
    pub(crate) unsafe fn from_raw(state: NonNull<fpstate>) -> Self {
        // INVARIANT: both are allocated with `size` bytes for the register image.
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
}
