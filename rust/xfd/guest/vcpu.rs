// SPDX-License-Identifier: GPL-2.0
//! Virtual CPUs' registers: the functions of the kernel that KVM calls, and nobody else.
//!
//! A virtual CPU has a register buffer of its own (`struct fpu_guest`), which takes the place of
//! the thread's while the thread runs it. What makes the buffer grow is in guest_update.rs.
//!
//! None of the structures are ours: those that the kernel's own code made before this module was
//! loaded are served here, and the other way round after it is gone.

use crate::cpu::{current::current_fpu, msr};
use crate::buffer::fpstate::{arm, init_registers, masks_of, set_masks, xstate_bv, FpstateBuffer};
use crate::permission::group_perm;
use crate::guest::promise;
use crate::seam::bindings::{self, fpstate, fpu_guest};
use crate::seam::kernel::kernel;
use crate::seam::locks::{Counted, Fpregs};
use crate::watch::stats::STATS;
use crate::xstate::buffer::Masks;
use crate::xstate::guest;
use crate::xstate::permission::Audience;
use crate::xstate::xfeature::Xfeatures;
use core::ptr;
use kernel::prelude::*;

/// Replaces `fpu_alloc_guest_fpstate()` (arch/x86/kernel/fpu/core.c:242): gives `guest` a buffer
/// for what every virtual CPU gets, in its initial state, and ends the time in which the process
/// may ask for more. False without memory. Sleeps.
///
/// # Safety
///
/// `guest` is a virtual CPU's that nobody else knows yet.
#[no_mangle]
unsafe extern "C" fn xfd_alloc_guest_fpstate(guest: *mut fpu_guest) -> bool {
    let _counted = Counted::enter();
    let config = kernel().guest();
    let user_size = kernel().default_user_size();
    let Ok(buffer) = FpstateBuffer::obtain(config.size, user_size) else {
        STATS.failed_allocations.count();
        return false;
    };
    let state = buffer.into_raw().as_ptr();
    // SAFETY: both are the caller's and ours alone.
    unsafe {
        (*state).set_is_guest(1);
        let masks = Masks {
            xfeatures: Xfeatures::from_bits(config.features),
            user_xfeatures: kernel().default_user_xfeatures(),
            // Its value after RESET.
            xfd: Xfeatures::NONE,
        };
        set_masks(state, masks);
        init_registers(state);
        (*guest).fpstate = state;
        (*guest).xfeatures = config.features;
        (*guest).uabi_size = user_size.max(bindings::XFD_KVM_XSAVE);
    }
    group_perm::lock_guests();
    true
}

/// Replaces `fpu_free_guest_fpstate()` (core.c:283). Does not sleep.
///
/// # Safety
///
/// `guest` is a virtual CPU's that nobody runs or knows any more.
#[no_mangle]
unsafe extern "C" fn xfd_free_guest_fpstate(guest: *mut fpu_guest) {
    // SAFETY: the caller vouches for it; its buffer is valid or NULL.
    unsafe {
        let state = (*guest).fpstate;
        if state.is_null() {
            return;
        }
        if (*state).is_valloc() == 0 || (*state).is_guest() == 0 || (*state).in_use() != 0 {
            kernel::pr_err_once!("a virtual CPU's register buffer is not freed: it is in use\n");
            return;
        }
        let owed = !view(guest, Xfeatures::NONE).owed().is_empty();
        (*guest).fpstate = ptr::null_mut();
        drop(FpstateBuffer::abandoned(state));
        if owed {
            promise::settle();
        }
    }
}

/// Replaces `fpu_swap_kvm_fpstate()` (core.c:375): the thread goes on with the registers of
/// `guest`, or with its own. 0. Does not sleep.
///
/// # Safety
///
/// `guest` is the virtual CPU that current runs; `enter` says whether it began or ended to.
#[no_mangle]
unsafe extern "C" fn xfd_swap_guest_fpstate(guest: *mut fpu_guest, enter: bool) -> c_int {
    let fpu = current_fpu();
    // SAFETY: current's fpstate; only current exchanges it.
    let fpregs = if unsafe { (*(*fpu).fpstate).is_confidential() } == 0 {
        Fpregs::lock_saved()
    } else {
        Fpregs::lock()
    };
    // SAFETY: `fpregs` guards current's fpstate, and that of the virtual CPU that it runs.
    unsafe {
        let theirs = (*guest).fpstate;
        if enter {
            (*fpu).__task_fpstate = (*fpu).fpstate;
            (*fpu).fpstate = theirs;
            (*theirs).set_in_use(1);
        } else {
            (*theirs).set_in_use(0);
            (*fpu).fpstate = (*fpu).__task_fpstate;
            (*fpu).__task_fpstate = ptr::null_mut();
        }
        let state = (*fpu).fpstate;
        if (*state).is_confidential() == 0 {
            fpregs.unlock_loaded(state);
        } else {
            // Firmware loads the registers, and wants XFD as the guest has it.
            arm(masks_of(state).xfd);
            fpregs.unlock_loaded(ptr::null_mut());
        }
    }
    0
}

/// Replaces `xstate_get_guest_group_perm()` (arch/x86/kernel/fpu/xstate.c:1817): what a CPUID may
/// show is what is permitted.
#[no_mangle]
extern "C" fn xfd_guest_permission() -> u64 {
    group_perm::xfeatures(Audience::Guest).bits()
}

/// Replaces `fpu_update_guest_xfd()` (core.c:323): the guest's IA32_XFD is `xfd` from now on; the
/// buffer has the room for it (guest_update.rs). Does not sleep.
///
/// What `xfd` disables is taken out of a saved register image, since loading it would raise #NM
/// in the kernel. The kernel's own code does so only if the registers of the *calling thread* are
/// in memory, which says nothing of a virtual CPU that it does not run (KVM_SET_MSRS).
///
/// # Safety
///
/// `guest` is a virtual CPU that current runs, or that nobody runs.
#[no_mangle]
unsafe extern "C" fn xfd_set_guest_xfd(guest: *mut fpu_guest, xfd: u64) {
    let fpregs = Fpregs::lock();
    // SAFETY: nobody else has the buffer to do with; `fpregs` guards it against a context switch.
    unsafe {
        let state = (*guest).fpstate;
        let runs = (*state).in_use() != 0;
        if !runs || fpregs.in_memory() {
            let in_image = xstate_bv(state);
            in_image.write(in_image.read() & !xfd);
        }
        (*state).xfd = xfd;
        if runs {
            arm(Xfeatures::from_bits(xfd));
        }
    }
}

/// Replaces `fpu_sync_guest_vmexit_xfd_state()` (core.c:362), which KVM calls after each VM exit of
/// a guest that wrote a non-zero IA32_XFD once: notes what the guest left in it. Interrupts off.
///
/// The MSR is read only if the guest can have written it unseen.
#[no_mangle]
extern "C" fn xfd_sync_guest_xfd() {
    // SAFETY: current runs a virtual CPU, the buffer of which is in place.
    unsafe {
        let state: *mut fpstate = (*current_fpu()).fpstate;
        if guest::may_write_xfd_unseen(Xfeatures::from_bits((*state).xfeatures))
            || (*state).is_confidential() != 0
        {
            let xfd = msr::xfd();
            (*state).xfd = xfd;
            kernel().xfd_state.set(xfd);
        }
    }
}

/// What the decisions are about.
///
/// # Safety
///
/// `guest` is a virtual CPU's, with a buffer, and the caller's to look at.
pub(crate) unsafe fn view(guest: *const fpu_guest, xcr0: Xfeatures) -> guest::Guest {
    // SAFETY: the caller vouches for it.
    unsafe {
        let masks = masks_of((*guest).fpstate);
        guest::Guest {
            promised: Xfeatures::from_bits((*guest).xfeatures),
            room: masks.xfeatures,
            xcr0,
            xfd: masks.xfd,
        }
    }
}
