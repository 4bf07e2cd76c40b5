// SPDX-License-Identifier: GPL-2.0
//! Resume: IA32_XFD and the kernel's per-CPU copy of it agree again.
//!
//! Linux 7.2's `fpu__resume_cpu()` writes the register for the task that asked for the suspend,
//! and leaves the copy as it is (arch/x86/kernel/fpu/xstate.c:989): whatever the task that was
//! last in user mode on this CPU had. If that one is disarmed and comes back first, the kernel
//! sees no need to write the register, and dies of an #NM in its own XRSTORS.

use crate::cpu::msr;
use crate::seam::bindings;
use crate::seam::kernel::kernel;
use kernel::prelude::*;

/// As long as it is there, [`xfd_after_resume`] is called. `Kernel::find` comes first.
pub(crate) struct Watch(());

impl Watch {
    pub(crate) fn begin() -> Self {
        // SAFETY: it is registered once: there is one `Xfd`, which has the only `Watch`.
        unsafe { bindings::xfd_resume_watch() };
        Self(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: `begin` registered it.
        unsafe { bindings::xfd_resume_unwatch() }
    }
}

/// Called on the only CPU that runs, interrupts off.
#[no_mangle]
extern "C" fn xfd_after_resume(_: *mut c_void) {
    // SAFETY: the copy says what the register holds, which is this code's to bring about as it
    // is the context switch's; no preemption with interrupts off.
    unsafe { kernel().xfd_state.set(msr::xfd()) }
}
