// SPDX-License-Identifier: GPL-2.0
//! The `arch_prctl` options 0x1021 to 0x1025: asking for permission.

use crate::permission::group_perm;
use crate::seam::bindings;
use crate::seam::kernel::{kernel, Kernel};
use crate::seam::locks::Siglock;
use crate::xstate::permission::{self, Answer, Audience, Refusal};
use crate::xstate::xfeature::Xfeatures;
use kernel::prelude::*;

/// Replaces `fpu_xstate_prctl()` (arch/x86/kernel/fpu/xstate.c:1840): 0, or minus
///
/// - EFAULT: `arg2` of a query is no address of 8 writable bytes,
/// - EINVAL: unknown option, or no such component,
/// - EOPNOTSUPP: not a component that is given on request, or not on this machine,
/// - EBUSY: a guest request after the first vCPU,
/// - ENOSPC: an alternate signal stack of the process is too small for the frames to come.
#[no_mangle]
pub(crate) extern "C" fn xfd_fpu_xstate_prctl(option: c_int, arg2: c_ulong) -> c_long {
    let result = match option as u32 {
        bindings::ARCH_GET_XCOMP_SUPP => {
            let supported = kernel().user_xfeatures() | kernel().legacy_xfeatures();
            return put(arg2, supported);
        }
        bindings::ARCH_GET_XCOMP_PERM => return put(arg2, visible(Audience::Host)),
        bindings::ARCH_GET_XCOMP_GUEST_PERM => return put(arg2, visible(Audience::Guest)),
        bindings::ARCH_REQ_XCOMP_PERM => request(arg2 as u64, Audience::Host),
        bindings::ARCH_REQ_XCOMP_GUEST_PERM => request(arg2 as u64, Audience::Guest),
        _ => Err(EINVAL),
    };
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno() as c_long,
    }
}

/// Permitted components that user space may know of; kernel-defined bits are not among them.
fn visible(audience: Audience) -> Xfeatures {
    group_perm::xfeatures(audience) & Kernel::user_supported()
}

/// Writes a mask to the 8 bytes at `address` of current: 0, or minus EFAULT.
fn put(address: c_ulong, value: Xfeatures) -> c_long {
    // SAFETY: put_user() checks the address; task context.
    unsafe { bindings::xfd_put_user(value.bits(), address) }
}

#[inline(always)]
fn request(idx: u64, audience: Audience) -> Result {
    let requested = permission::facility(idx, kernel().user_xfeatures()).map_err(errno)?;
    // The usual answer to a repeated request, without a lock: permissions only grow.
    if permission::allows(group_perm::xfeatures(audience), requested) {
        Ok(())
    } else {
        grant(requested, audience)
    }
}

// Apart, so that the answers above need no frame of their own.
#[inline(never)]
fn grant(requested: Xfeatures, audience: Audience) -> Result {
    let siglock = Siglock::lock();
    let answer = permission::request(
        group_perm::xfeatures(audience),
        requested,
        audience,
        Kernel::user_supported(),
        &kernel().layout,
    )
    .map_err(errno)?;
    let Answer::Grant(granted) = answer else {
        return Ok(());
    };

    if audience == Audience::Host {
        let minimum = permission::altstack_minimum(
            kernel().largest_frame,
            kernel().largest_user_size(),
            granted.user_size,
        );
        if siglock.altstack_below(minimum) {
            return Err(ENOSPC);
        }
    }
    group_perm::set(audience, &granted, &siglock);
    Ok(())
}

fn errno(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoSuchXfeature => EINVAL,
        Refusal::NotOnRequest => Error::from_errno(-(bindings::EOPNOTSUPP as c_int)),
        Refusal::GuestLocked => EBUSY,
    }
}
