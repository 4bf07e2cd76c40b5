// SPDX-License-Identifier: GPL-2.0
//! What makes a virtual CPU's buffer grow: a promise of its CPUID, a write of XCR0 or IA32_XFD,
//! a restored register image. By the guest or by the hypervisor's user space, it is all one.
//!
//! A guest that never uses a dynamic component never has the room for it. Where the updates of a
//! guest cannot all be seen (kvm_modules.rs), a promise is kept at once, as the kernel's own
//! `fpu_enable_guest_xfd_features()` does.

use crate::cpu::current::current_fpu;
use crate::buffer::fpstate::{masks_of, set_masks, set_xcomp_bv, FpstateBuffer};
use crate::permission::group_perm;
use crate::guest::vcpu::view;
use crate::guest::promise;
use crate::seam::bindings::fpu_guest;
use crate::seam::locks::{Counted, Fpregs};
use crate::reclaim::shrink::copy_registers;
use crate::watch::stats::STATS;
use crate::xstate::guest::{self, Promise, Update};
use crate::xstate::permission::Audience;
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
#[no_mangle]
unsafe extern "C" fn xfd_promise_to_guest(guest: *mut fpu_guest, requested: u64) -> c_int {
    let _counted = Counted::enter();
    // SAFETY: the caller vouches for it.
    let promised = Xfeatures::from_bits(unsafe { (*guest).xfeatures });
    let permitted = group_perm::xfeatures(Audience::Guest);
    let new = match guest::promise(Xfeatures::from_bits(requested), promised, permitted) {
        Promise::Kept => return 0,
        Promise::Refused => return EPERM.to_errno(),
        Promise::New(new) => new,
    };
    // SAFETY: as above.
    if !promise::make() && unsafe { grow(guest, new) }.is_err() {
        return EFAULT.to_errno();
    }
    // SAFETY: as above.
    unsafe {
        (*guest).xfeatures = (promised | new).bits();
        (*guest).uabi_size = group_perm::get(Audience::Guest).user_size;
    }
    0
}

/// Whether the guest was promised something that it has no room for.
///
/// # Safety
///
/// `guest` is a virtual CPU that current runs, or that nobody runs.
#[no_mangle]
unsafe extern "C" fn xfd_guest_is_owed(guest: *mut fpu_guest) -> bool {
    // SAFETY: the caller vouches for it.
    !unsafe { view(guest, Xfeatures::NONE) }.owed().is_empty()
}

/// Before XCR0 of the guest changes from `xcr0` to `new`: makes room for what the guest can change
/// then. The components that got some, or minus ENOMEM. Sleeps.
///
/// # Safety
///
/// As for [`xfd_guest_is_owed`].
#[no_mangle]
unsafe extern "C" fn xfd_make_room_for_xcr0(guest: *mut fpu_guest, xcr0: u64, new: u64) -> c_long {
    // SAFETY: the caller vouches for it.
    unsafe { make_room(guest, xcr0, Update::Xcr0(Xfeatures::from_bits(new))) }
}

/// The same before IA32_XFD of a guest with this XCR0 becomes `new`.
///
/// # Safety
///
/// As for [`xfd_guest_is_owed`].
#[no_mangle]
unsafe extern "C" fn xfd_make_room_for_xfd(guest: *mut fpu_guest, xcr0: u64, new: u64) -> c_long {
    // SAFETY: the caller vouches for it.
    unsafe { make_room(guest, xcr0, Update::Xfd(Xfeatures::from_bits(new))) }
}

/// The same before the guest gets a register image with this XSTATE_BV.
///
/// # Safety
///
/// As for [`xfd_guest_is_owed`].
#[no_mangle]
unsafe extern "C" fn xfd_make_room_for_image(guest: *mut fpu_guest, xstate_bv: u64) -> c_long {
    let image = Update::Image(Xfeatures::from_bits(xstate_bv));
    // SAFETY: the caller vouches for it.
    unsafe { make_room(guest, 0, image) }
}

/// # Safety
///
/// As for [`xfd_guest_is_owed`].
unsafe fn make_room(guest: *mut fpu_guest, xcr0: u64, update: Update) -> c_long {
    // SAFETY: the caller vouches for it.
    let lacking = unsafe { view(guest, Xfeatures::from_bits(xcr0)) }.lacking(update);
    if lacking.is_empty() {
        return 0;
    }
    let _counted = Counted::enter();
    // SAFETY: as above.
    match unsafe { grow(guest, lacking) } {
        Ok(()) => {
            // SAFETY: as above.
            if unsafe { !xfd_guest_is_owed(guest) } {
                promise::settle();
            }
            lacking.bits() as c_long
        }
        Err(e) => e.to_errno() as c_long,
    }
}

/// Gives the guest a buffer with room for `more` as well, with the same contents. Interrupts on,
/// sleeps. The old one goes.
///
/// Errors: ENOMEM.
///
/// # Safety
///
/// As for [`xfd_guest_is_owed`].
unsafe fn grow(guest: *mut fpu_guest, more: Xfeatures) -> Result {
    let permission = group_perm::get(Audience::Guest);
    let new = FpstateBuffer::obtain(permission.kernel_size, permission.user_size)
        .inspect_err(|_| STATS.failed_allocations.count())?
        .into_raw()
        .as_ptr();
    let fpu = current_fpu();
    let fpregs = Fpregs::lock();
    // SAFETY: nobody else has to do with the virtual CPU, and `fpregs` keeps current from being
    // switched; `new` is nobody else's yet.
    let old = unsafe {
        let old = (*guest).fpstate;
        let masks = guest::grown(masks_of(old), more);
        set_masks(new, masks);
        (*new).set_is_guest(1);
        (*new).set_is_confidential((*old).is_confidential());
        (*new).set_in_use((*old).in_use());
        if (*fpu).fpstate == old {
            // In the CPU they need no copying.
            fpregs.load();
            set_xcomp_bv(new, masks.xfeatures);
            (*fpu).fpstate = new;
        } else {
            copy_registers(old, new);
        }
        (*guest).fpstate = new;
        old
    };
    drop(fpregs);
    STATS.guests_grown.count();
    // SAFETY: the virtual CPU has the new one.
    drop(unsafe { FpstateBuffer::abandoned(old) });
    Ok(())
}
