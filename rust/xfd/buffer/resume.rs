// SPDX-License-Identifier: GPL-2.0
//! Resume: makes IA32_XFD and the kernel's per-CPU copy agree again.
//!
//! In Linux 7.2, `fpu__resume_cpu()` writes the MSR for the task that requested the suspend but
//! does not update the copy (arch/x86/kernel/fpu/xstate.c:989). The copy still has the value of the
//! task that was last in user mode on this CPU. If that task is disarmed and runs first, the kernel
//! does not write the MSR, and its own XRSTORS raises an #NM, which is fatal.

use super::registers;
use crate::bindings;
use crate::seam::refusal::Refusal;
use kernel::prelude::*;

/// Starts calling [`xfd_after_resume`]. May sleep; cannot fail.
pub(crate) fn watch() -> Result<(), Refusal> {
    // SAFETY: lifecycle.rs registers it only once.
    unsafe { bindings::xfd_resume_watch() };
    Ok(())
}

/// Stops calling it. May sleep; cannot fail. Nobody is in it: it only runs while no task does.
pub(crate) fn unwatch() -> Result {
    // SAFETY: lifecycle.rs calls this only after `watch` registered it.
    unsafe { bindings::xfd_resume_unwatch() };
    Ok(())
}

/// Called on the only running CPU, with interrupts off.
#[no_mangle]
extern "C" fn xfd_after_resume(_: *mut c_void) {
    registers::sync_xfd_state();
}
