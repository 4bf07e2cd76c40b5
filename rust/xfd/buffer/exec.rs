// SPDX-License-Identifier: GPL-2.0
//! exec: gives the task its built-in buffer back and puts the enlarged one into the pool.
//!
//! In Linux 7.2, `fpu_flush_thread()` drops the pointer to the enlarged buffer without freeing it
//! (arch/x86/kernel/fpu/core.c:867), leaking 12 KiB per call. It also exchanges the buffers before
//! it invalidates the registers, without a lock: if the task is preempted in between, IA32_XFD and
//! the fpstate disagree. This replacement fixes both.

use super::fpstate::recycle;
use super::registers::{invalidate_fpregs, Fpregs};
use crate::bindings;
use crate::cpu::current::current_fpu;
use crate::seam::calls;
use crate::seam::counted::Counted;
use crate::seam::kernel::kernel;

/// Replaces `fpu_flush_thread()`. Task context, interrupts on. Sleeps only on PREEMPT_RT, for the
/// pool's lock.
#[no_mangle]
pub(crate) extern "C" fn xfd_fpu_flush_thread() {
    let _counted = Counted::enter();
    let fpu = current_fpu();
    let fpregs = Fpregs::lock();
    // SAFETY: `fpregs` protects current's fpstate. The built-in fpstate and `init_fpstate` both
    // begin with the legacy region and the header, which is all that an initial state needs.
    let old = unsafe {
        let old = (*fpu).fpstate;
        calls::reset_fpstate(fpu.cast());
        let regs = bindings::XFD_FPSTATE_REGS as usize;
        core::ptr::copy_nonoverlapping(
            kernel().init_fpstate().byte_add(regs).cast::<u8>(),
            (*fpu).fpstate.byte_add(regs).cast::<u8>(),
            bindings::XFD_XSAVE_FIXED as usize,
        );
        invalidate_fpregs(fpu);
        old
    };
    fpregs.mark_in_memory();
    drop(fpregs);
    // SAFETY: current has its built-in buffer, so the old one belongs to nobody.
    unsafe { recycle(old) }
}
