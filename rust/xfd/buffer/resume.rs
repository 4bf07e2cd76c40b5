// SPDX-License-Identifier: GPL-2.0
//! Resume: IA32_XFD and the kernel's per-CPU copy of it agree again.
//!
//! Linux 7.2's `fpu__resume_cpu()` writes the register for the task that asked for the suspend,
//! and leaves the copy as it is (arch/x86/kernel/fpu/xstate.c:989): whatever the task that was
//! last in user mode on this CPU had. If that one is disarmed and comes back first, the kernel
//! sees no need to write the register, and dies of an #NM in its own XRSTORS.

use super::registers;
use crate::bindings;
use crate::seam::refusal::Refusal;
use kernel::prelude::*;

/// From now on [`xfd_after_resume`] is called. Sleeps.
pub(crate) fn watch() -> Result<(), Refusal> {
    // SAFETY: it is registered once (lifecycle.rs).
    unsafe { bindings::xfd_resume_watch() };
    Ok(())
}

/// No longer. Sleeps. It runs on the only CPU that runs, in no task's context: nobody is in it.
pub(crate) fn unwatch() -> Result {
    // SAFETY: `watch` registered it.
    unsafe { bindings::xfd_resume_unwatch() };
    Ok(())
}

/// Called on the only CPU that runs, interrupts off.
#[no_mangle]
extern "C" fn xfd_after_resume(_: *mut c_void) {
    registers::sync_xfd_state();
}
