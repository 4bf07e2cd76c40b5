// SPDX-License-Identifier: GPL-2.0
//! Tiles for kernel code (include/linux/xfd.h): it cannot rely on #NM, so XFD is disarmed for it
//! beforehand.

use crate::buffer::registers::{armed_here, KernelFpu};
use crate::cpu::tile;
use crate::xstate::xfeature::Xfeatures;
use core::mem::{forget, ManuallyDrop};
use kernel::prelude::*;

/// The tile registers, from [`Self::begin`] until it is dropped: initial, and not to be faulted
/// on. Preemption and soft interrupts are off as long.
struct KernelTiles {
    fpu: ManuallyDrop<KernelFpu>,
    /// What this CPU's IA32_XFD was, and is to be again.
    armed: Xfeatures,
}

impl KernelTiles {
    /// Saves current's registers if they are in the CPU, and disarms XFD.
    ///
    /// Errors: EBUSY in a hard interrupt, or if the kernel has the FPU registers already.
    fn begin() -> Result<Self> {
        let fpu = KernelFpu::begin()?;
        let armed = armed_here();
        // SAFETY: the kernel has the registers; less is armed than was.
        unsafe {
            fpu.owned().arm(armed & !Xfeatures::USER_DYNAMIC);
            tile::release();
        }
        Ok(Self {
            fpu: ManuallyDrop::new(fpu),
            armed,
        })
    }
}

impl Drop for KernelTiles {
    fn drop(&mut self) {
        // SAFETY: the kernel has the registers, and nobody needs what is in them; that much was
        // armed. `fpu` is not used after this.
        unsafe {
            tile::release();
            self.fpu.owned().arm(self.armed);
            ManuallyDrop::drop(&mut self.fpu);
        }
    }
}

/// For C: what IA32_XFD was goes to `armed`. 0, or -EBUSY.
#[no_mangle]
extern "C" fn xfd_tiles_begin(armed: &mut u64) -> c_int {
    match KernelTiles::begin() {
        Ok(tiles) => {
            *armed = tiles.armed.bits();
            forget(tiles);
            0
        }
        Err(e) => e.to_errno(),
    }
}

/// For C: the end of what [`xfd_tiles_begin`] began.
#[no_mangle]
extern "C" fn xfd_tiles_end(armed: u64) {
    drop(KernelTiles {
        // SAFETY: kernel_tiles.c calls it at the end of such a section.
        fpu: ManuallyDrop::new(unsafe { KernelFpu::begun() }),
        armed: Xfeatures::from_bits(armed),
    });
}
