// SPDX-License-Identifier: GPL-2.0
//! The `arch_prctl` options that request a permission, 0x1023 and 0x1025. query.c handles the rest.

use super::group_perm;
use crate::bindings;
use crate::seam::counted::Counted;
use crate::seam::kernel::kernel;
use crate::seam::locks::Siglock;
use crate::xstate::facility;
use crate::xstate::permission::{self, Answer, PermissionKind, Refusal};
use crate::xstate::xfeature::Xfeatures;
use kernel::prelude::*;

/// The part of `fpu_xstate_prctl()` (arch/x86/kernel/fpu/xstate.c:1840) that handles requests.
/// Returns 0 or a negative errno:
///
/// - EINVAL: there is no such component.
/// - EOPNOTSUPP: the component is not requestable, or the machine lacks it.
/// - EBUSY: this is a guest request after the first vCPU was created.
/// - ENOSPC: one of the process's alternate signal stacks is too small for the larger frames.
///
/// Task context. Does not sleep, except for siglock on PREEMPT_RT.
#[no_mangle]
extern "C" fn xfd_request_permission(option: c_int, idx: c_ulong) -> c_long {
    let kind = match option as u32 {
        bindings::ARCH_REQ_XCOMP_GUEST_PERM => PermissionKind::Guest,
        _ => PermissionKind::Host,
    };
    match request(idx as u64, kind) {
        Ok(()) => 0,
        Err(e) => e.to_errno() as c_long,
    }
}

#[inline(always)]
fn request(idx: u64, kind: PermissionKind) -> Result {
    let requested = facility::LINUX
        .requested(idx, kernel().user_xfeatures())
        .map_err(errno)?;
    // A repeated request usually ends here, without a lock: permissions only grow.
    if permission::allows(group_perm::xfeatures(kind), requested) {
        Ok(())
    } else {
        grant(requested, kind)
    }
}

// This is a separate function so that the cases above need no stack frame.
#[inline(never)]
fn grant(requested: Xfeatures, kind: PermissionKind) -> Result {
    // Taking siglock may sleep on PREEMPT_RT.
    let _counted = Counted::enter();
    let siglock = Siglock::lock();
    let answer = permission::request(
        group_perm::xfeatures(kind),
        requested,
        kind,
        &kernel().capacities,
    )
    .map_err(errno)?;
    let Answer::Grant(granted) = answer else {
        return Ok(());
    };

    if kind == PermissionKind::Host {
        let minimum = permission::altstack_minimum(
            kernel().largest_frame,
            kernel().largest_user_size(),
            granted.user_size,
        );
        if siglock.altstack_below(minimum) {
            return Err(ENOSPC);
        }
    }
    group_perm::set(kind, &granted, &siglock);
    Ok(())
}

fn errno(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoSuchXfeature => EINVAL,
        Refusal::NotRequestable => Error::from_errno(-(bindings::EOPNOTSUPP as c_int)),
        Refusal::GuestLocked => EBUSY,
    }
}
