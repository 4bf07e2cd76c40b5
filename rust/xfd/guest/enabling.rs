// SPDX-License-Identifier: GPL-2.0
//! Gives a virtual CPU space for a dynamic component when its CPUID shows that component.
//!
//! This happens immediately, as in the kernel's own code. From then on nothing that the guest or
//! its VMM does can fail for lack of memory, and no KVM function has to be hooked to notice the
//! guest's first use (Documentation/hypervisor.rst).

use crate::bindings::{self, fpu_guest};
use crate::buffer::area::AllocMode;
use crate::buffer::fpstate::{copy_registers, free, masks_of, FpstateBuffer};
use crate::buffer::registers::Fpregs;
use crate::cpu::current::current_fpu;
use crate::permission::group_perm;
use crate::seam::counted::Counted;
use crate::seam::kernel::kernel;
use crate::watch::stats::STATS;
use crate::xstate::buffer::enlarged_for_guest;
use crate::xstate::guest::{enable, Enabling};
use crate::xstate::permission::PermissionKind;
use crate::xstate::xfeature::Xfeatures;
use kernel::prelude::*;

/// Replaces `fpu_enable_guest_xfd_features()` (arch/x86/kernel/fpu/core.c:306): the guest's CPUID
/// will show `requested`. Task context, interrupts on; may sleep. Returns 0 or a negative errno:
///
/// - EPERM: the process has not requested the permission (ARCH_REQ_XCOMP_GUEST_PERM).
/// - EFAULT: there is no memory.
///
/// # Safety
///
/// `guest` is a valid virtual CPU that is run by current or by nobody.
#[no_mangle]
pub(crate) unsafe extern "C" fn xfd_enable_guest_features(
    guest: *mut fpu_guest,
    requested: u64,
) -> c_int {
    let _counted = Counted::enter();
    // SAFETY: by this function's contract `guest` is valid.
    let enabled = Xfeatures::from_bits(unsafe { (*guest).xfeatures });
    let permitted = group_perm::xfeatures(PermissionKind::Guest);
    match enable(Xfeatures::from_bits(requested), enabled, permitted) {
        Enabling::Kept => 0,
        Enabling::Refused => EPERM.to_errno(),
        // SAFETY: `enlarge` has the same contract as this function.
        Enabling::Enlarge(more) => match unsafe { enlarge(guest, more) } {
            Some(()) => 0,
            None => EFAULT.to_errno(),
        },
    }
}

/// Gives the guest a buffer that has space for `more` as well. It keeps the contents of the old
/// one, which the kernel's own code loses. Its size depends only on what the vCPU has, not on the
/// caller. Returns `None`, with nothing changed, if there is no memory. Task context, interrupts
/// on; may sleep.
///
/// # Safety
///
/// Same as for [`xfd_enable_guest_features`].
unsafe fn enlarge(guest: *mut fpu_guest, more: Xfeatures) -> Option<()> {
    // SAFETY: by this function's contract nobody else exchanges the buffer of `guest`.
    let has = unsafe { masks_of((*guest).fpstate) }.xfeatures;
    let capacity = kernel().capacities.with(has | more);
    let Ok(mut new) = FpstateBuffer::obtain(capacity, AllocMode::MayFail) else {
        STATS.failed_allocations.count();
        return None;
    };
    let fpu = current_fpu();
    let fpregs = Fpregs::lock();
    // SAFETY: nobody else uses the vCPU, `fpregs` prevents a switch away from current, and nobody
    // else can access `new` yet.
    let old = unsafe {
        let old = (*guest).fpstate;
        let runs = (*fpu).fpstate == old;
        if runs {
            // If the registers are in the CPU, they need not be copied.
            fpregs.load();
        }
        let masks = enlarged_for_guest(masks_of(old), more, &capacity);
        let Some(masks) = masks.filter(|&masks| new.claim(masks).is_some()) else {
            // Do not drop `new` with the registers locked: the pool's lock may sleep on PREEMPT_RT.
            drop(fpregs);
            return None;
        };
        let state = new.as_ptr();
        (*state).set_is_guest(1);
        (*state).set_is_confidential((*old).is_confidential());
        (*state).set_in_use((*old).in_use());
        if runs {
            (*fpu).fpstate = state;
            // What the new masks disarm must be disarmed in the CPU, too.
            fpregs.load().arm(masks.xfd);
        } else {
            copy_registers(old, state);
        }
        (*guest).fpstate = new.into_raw();
        (*guest).xfeatures |= more.bits();
        (*guest).uabi_size = capacity.user_size();
        old
    };
    drop(fpregs);
    STATS.guests_grown.count();
    // SAFETY: the vCPU has the new buffer, so the old one belongs to nobody. Sleeping is allowed.
    unsafe {
        bindings::xfd_trace_guest_grown(
            capacity.xfeatures().bits(),
            (*old).size,
            capacity.kernel_size(),
        );
        free(old);
    }
    Some(())
}
