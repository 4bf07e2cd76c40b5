// SPDX-License-Identifier: GPL-2.0
//! The running task, read directly from its per-CPU variable. The kernel crate calls a C function
//! for that, which would take longer than some of the operations here.

use crate::bindings::{self, fpu};
use core::arch::asm;
use core::ffi::c_void;

extern "C" {
    /// `DEFINE_PER_CPU_CACHE_HOT(struct task_struct *, current_task)`. GS is added to this address.
    static current_task: c_void;
}

/// Current's FPU state, which follows its task_struct in memory (`x86_task_fpu()`,
/// arch/x86/kernel/fpu/core.c:56). Task context.
#[inline(always)]
pub(crate) fn current_fpu() -> *mut fpu {
    let task: *mut u8;
    // SAFETY: in the kernel, GS is the per-CPU base. The variable is a pointer that does not change
    // while the task runs.
    unsafe {
        asm!("mov {}, gs:[rip + {}]", out(reg) task, sym current_task,
             options(pure, readonly, nostack, preserves_flags));
    }
    task.wrapping_add(bindings::XFD_TASK_SIZE as usize).cast()
}
