// SPDX-License-Identifier: GPL-2.0
//! Resume: makes IA32_XFD and the kernel's per-CPU copy agree again.
//!
//! In Linux 7.2, `fpu__resume_cpu()` writes the MSR for the task that requested the suspend but
//! does not update the copy (arch/x86/kernel/fpu/xstate.c:989). The copy still has the value of the
//! task that was last in user mode on this CPU. If that task is disarmed and runs first, the kernel
//! does not write the MSR, and its own XRSTORS raises an #NM, which is fatal.

use super::registers;
use kernel::prelude::*;

/// Called on the only CPU that runs, with interrupts off.
#[no_mangle]
extern "C" fn xfd_after_resume(_: *mut c_void) {
    registers::sync_xfd_state();
}
