// SPDX-License-Identifier: GPL-2.0
//! Tiles for kernel code (include/linux/xfd.h): it cannot rely on faults, so XFD is disarmed for it
//! beforehand.

use crate::cpu::tile;
use crate::buffer::fpstate::arm;
use crate::seam::bindings;
use crate::seam::kernel::kernel;
use crate::xstate::xfeature::Xfeatures;
use core::marker::PhantomData;
use kernel::prelude::*;

/// The tile registers, from [`Self::begin`] until it is dropped: initial, and not to be faulted
/// on. Preemption and soft interrupts are off as long.
pub(crate) struct KernelTiles {
    /// What this CPU's IA32_XFD was, and is to be again.
    armed: Xfeatures,
    /// Of this CPU.
    _not_send: PhantomData<*const ()>,
}

impl KernelTiles {
    /// Saves current's registers if they are in the CPU, and disarms XFD.
    ///
    /// Errors: EBUSY in a hard interrupt, or if the kernel has the FPU registers already.
    pub(crate) fn begin() -> Result<Self> {
        // SAFETY: any context.
        kernel::error::to_result(unsafe { bindings::xfd_kernel_fpu_begin() })?;
        let armed = Xfeatures::from_bits(kernel().xfd_state.get());
        let tiles = Self {
            armed,
            _not_send: PhantomData,
        };
        // SAFETY: current's registers are saved, and the kernel has them.
        unsafe {
            arm(armed & !Xfeatures::USER_DYNAMIC);
            tile::release();
        }
        Ok(tiles)
    }
}

impl Drop for KernelTiles {
    fn drop(&mut self) {
        // SAFETY: `begin` began it, on this CPU.
        unsafe {
            tile::release();
            arm(self.armed);
            bindings::xfd_kernel_fpu_end();
        }
    }
}

/// For C: what IA32_XFD was goes to `armed`. 0, or -EBUSY.
#[no_mangle]
extern "C" fn xfd_tiles_begin(armed: &mut u64) -> c_int {
    match KernelTiles::begin() {
        Ok(tiles) => {
            *armed = tiles.armed.bits();
            core::mem::forget(tiles);
            0
        }
        Err(e) => e.to_errno(),
    }
}

/// For C: the end of what [`xfd_tiles_begin`] began.
#[no_mangle]
extern "C" fn xfd_tiles_end(armed: u64) {
    drop(KernelTiles {
        armed: Xfeatures::from_bits(armed),
        _not_send: PhantomData,
    });
}
