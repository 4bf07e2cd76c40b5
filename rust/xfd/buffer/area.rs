// SPDX-License-Identifier: GPL-2.0
//! The memory of an enlarged register buffer. Like the kernel's own, it is a vmalloc area, so the
//! kernel's `fpstate_free()` can free it with or without this module.

use crate::bindings::{self, fpstate};
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use kernel::prelude::*;

/// What an allocation does when there is no memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AllocMode {
    /// It fails, as may the C code's allocation at the same place.
    MayFail,
    /// It waits for memory (area.c). Used where the C code would have allocated the memory earlier,
    /// and where there is nobody to report a failure to.
    NoFail,
}

/// An fpstate in its own vmalloc area that belongs to no task. Dropping this does not free it: call
/// [`Self::free`].
///
/// # Invariants
///
/// The area has at least `XFD_FPSTATE_REGS` + `size` bytes, where `size` is a member of its header.
pub(crate) struct Area(NonNull<fpstate>);

// SAFETY: nobody else knows the area, and any CPU may use and free it.
unsafe impl Send for Area {}

impl Area {
    /// Allocates a zeroed area with space for a register image of `kernel_size` bytes. May sleep.
    ///
    /// Errors: ENOMEM, with [`AllocMode::MayFail`].
    // This does not use the kernel crate's Vmalloc: /proc/vmallocinfo shows the caller of vmalloc,
    // and these areas must be distinguishable from others. (Those of area.c show its function.)
    #[inline(never)]
    pub(crate) fn allocate(kernel_size: u32, mode: AllocMode) -> Result<Self> {
        let bytes = bindings::XFD_FPSTATE_REGS as usize + kernel_size as usize;
        // SAFETY: sleeping is allowed here. The functions return NULL, or `bytes` zeroed bytes
        // aligned to a page boundary.
        let area = unsafe {
            match mode {
                AllocMode::MayFail => bindings::vzalloc_noprof(bytes),
                AllocMode::NoFail => bindings::xfd_zalloc_nofail(bytes),
            }
        };
        let area = NonNull::new(area.cast::<fpstate>()).ok_or(ENOMEM)?;
        // SAFETY: nobody else can access the memory yet, and the header lies within it.
        unsafe { (*area.as_ptr()).size = kernel_size };
        // INVARIANT: exactly that many bytes were allocated.
        Ok(Self(area))
    }

    /// The address of the fpstate.
    pub(crate) fn as_ptr(&self) -> *mut fpstate {
        self.0.as_ptr()
    }

    /// Size in bytes of the register image.
    pub(crate) fn size(&self) -> u32 {
        // SAFETY: nobody else can access the memory, and the header lies within it.
        unsafe { (*self.0.as_ptr()).size }
    }

    /// Clears everything that belonged to a task: the header, except for its size, and the register
    /// image.
    pub(crate) fn clear(&mut self) {
        let size = self.size();
        let bytes = bindings::XFD_FPSTATE_REGS as usize + size as usize;
        // SAFETY: by the type invariant there are that many bytes, and nobody else can access them.
        unsafe {
            self.0.cast::<u8>().write_bytes(0, bytes);
            (*self.0.as_ptr()).size = size;
        }
    }

    /// The memory of the area. It leaks unless it is passed to [`Self::from_raw`].
    pub(crate) fn into_raw(self) -> NonNull<fpstate> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    ///
    /// `state` was returned by [`Self::into_raw`] and is passed to this function only once, or it
    /// is an enlarged buffer that the kernel's own code allocated (fpstate_realloc(),
    /// arch/x86/kernel/fpu/xstate.c) and that no longer belongs to a task.
    pub(crate) unsafe fn from_raw(state: NonNull<fpstate>) -> Self {
        // INVARIANT: both kinds were allocated with `size` bytes for the register image.
        Self(state)
    }

    /// Frees the memory. May sleep.
    pub(crate) fn free(self) {
        // SAFETY: this is a vmalloc area that belongs to no task, and the caller may sleep.
        unsafe { bindings::vfree(self.into_raw().as_ptr().cast()) }
    }

    /// Has a kernel worker free the memory. Any context except NMI.
    pub(crate) fn free_later(self) {
        // SAFETY: this is a vmalloc area that belongs to no task.
        unsafe { bindings::kvfree_atomic(self.into_raw().as_ptr().cast()) }
    }
}
