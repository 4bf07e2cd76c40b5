// SPDX-License-Identifier: GPL-2.0
//! A virtual CPU's CPUID shows a dynamic component: it gets the room for it.
//!
//! At once, as with the kernel's own code: from then on nothing that a guest or its monitor does can
//! fail for lack of memory, and no function of KVM's has to be watched for the moment when the guest
//! first needs it (Documentation/hypervisor.rst).

use crate::bindings::{self, fpu_guest};
use crate::buffer::area::AllocMode;
use crate::buffer::fpstate::{copy_registers, free, masks_of, FpstateBuffer};
use crate::buffer::registers::Fpregs;
use crate::cpu::current::current_fpu;
use crate::permission::group_perm;
use crate::seam::kernel::kernel;
use crate::seam::locks::Counted;
use crate::watch::stats::STATS;
use crate::xstate::buffer::enlarged_for_guest;
use crate::xstate::guest::{enable, Enabling};
use crate::xstate::permission::PermissionKind;
use crate::xstate::xfeature::Xfeatures;
use kernel::prelude::*;

/// Replaces `fpu_enable_guest_xfd_features()` (arch/x86/kernel/fpu/core.c:306): the guest's CPUID
/// shows `requested`. Sleeps. 0, or minus
///
/// - EPERM: the process did not ask for the permission (ARCH_REQ_XCOMP_GUEST_PERM),
/// - EFAULT: no memory.
///
/// # Safety
///
/// `guest` is a virtual CPU that current runs, or that nobody runs.
pub(crate) unsafe extern "C" fn xfd_enable_guest_features(
    guest: *mut fpu_guest,
    requested: u64,
) -> c_int {
    let _counted = Counted::enter();
    // SAFETY: the caller vouches for it.
    let enabled = Xfeatures::from_bits(unsafe { (*guest).xfeatures });
    let permitted = group_perm::xfeatures(PermissionKind::Guest);
    match enable(Xfeatures::from_bits(requested), enabled, permitted) {
        Enabling::Kept => 0,
        Enabling::Refused => EPERM.to_errno(),
        // SAFETY: as above.
        Enabling::Enlarge(more) => match unsafe { enlarge(guest, more) } {
            Some(()) => 0,
            None => EFAULT.to_errno(),
        },
    }
}

/// Gives the guest a buffer with room for `more` as well, with the same contents; the kernel's own code
/// loses those. Its size comes from what the virtual CPU has, whoever calls. `None` without memory; nothing
/// is changed then. Interrupts on, sleeps.
///
/// # Safety
///
/// As for [`xfd_enable_guest_features`].
unsafe fn enlarge(guest: *mut fpu_guest, more: Xfeatures) -> Option<()> {
    // SAFETY: the caller vouches for it: nobody else exchanges its buffer.
    let has = unsafe { masks_of((*guest).fpstate) }.xfeatures;
    let capacity = kernel().capacities.with(has | more);
    let Ok(mut new) = FpstateBuffer::obtain(capacity, AllocMode::MayFail) else {
        STATS.failed_allocations.count();
        return None;
    };
    let fpu = current_fpu();
    let fpregs = Fpregs::lock();
    // SAFETY: nobody else has to do with the virtual CPU, and `fpregs` keeps current from being
    // switched; `new` is nobody else's yet.
    let old = unsafe {
        let old = (*guest).fpstate;
        let runs = (*fpu).fpstate == old;
        if runs {
            // In the CPU they need no copying.
            fpregs.load();
        }
        let masks = enlarged_for_guest(masks_of(old), more, &capacity);
        let Some(masks) = masks.filter(|&masks| new.claim(masks).is_some()) else {
            // Not with the registers locked: the pool has a lock that sleeps on PREEMPT_RT.
            drop(fpregs);
            return None;
        };
        let state = new.as_ptr();
        (*state).set_is_guest(1);
        (*state).set_is_confidential((*old).is_confidential());
        (*state).set_in_use((*old).in_use());
        if runs {
            (*fpu).fpstate = state;
            // What it disarms is disarmed in the CPU as well.
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
    // SAFETY: the virtual CPU has the new one, and the old one is nobody's; sleeping is allowed.
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
