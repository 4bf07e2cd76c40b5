// SPDX-License-Identifier: GPL-2.0
//! Tile registers for kernel code (include/linux/xfd.h). Kernel code cannot rely on #NM, so XFD is
//! disarmed before it uses them.

use crate::buffer::registers::{armed_here, KernelFpu};
use crate::cpu::tile;
use crate::xstate::xfeature::Xfeatures;
use core::mem::{forget, ManuallyDrop};
use kernel::prelude::*;

/// The tile registers, from [`Self::begin`] until this is dropped. They are in their initial state,
/// and using them does not raise #NM. Meanwhile preemption and softirqs are off.
struct KernelTiles {
    fpu: ManuallyDrop<KernelFpu>,
    /// The previous value of this CPU's IA32_XFD, restored at the end.
    armed: Xfeatures,
}

impl KernelTiles {
    /// Saves current's registers if they are in the CPU, and disarms XFD. Does not sleep.
    ///
    /// Errors: EBUSY in a hard interrupt, or if the kernel is already using the FPU registers.
    fn begin() -> Result<Self> {
        let fpu = KernelFpu::begin()?;
        let armed = armed_here();
        // SAFETY: the registers now belong to the kernel, and fewer components are armed than
        // before.
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
        // SAFETY: the registers belong to the kernel, and nobody needs their contents. `self.armed`
        // was in IA32_XFD before. `fpu` is not used after this.
        unsafe {
            tile::release();
            self.fpu.owned().arm(self.armed);
            ManuallyDrop::drop(&mut self.fpu);
        }
    }
}

/// Called from C: begins a section, and stores the previous value of IA32_XFD in `armed`. Returns 0
/// or -EBUSY.
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

/// Called from C: ends the section that [`xfd_tiles_begin`] began. `armed` is the value that it
/// stored.
#[no_mangle]
extern "C" fn xfd_tiles_end(armed: u64) {
    drop(KernelTiles {
        // SAFETY: kernel_tiles.c calls this at the end of such a section, on the same CPU.
        fpu: ManuallyDrop::new(unsafe { KernelFpu::begun() }),
        armed: Xfeatures::from_bits(armed),
    });
}
