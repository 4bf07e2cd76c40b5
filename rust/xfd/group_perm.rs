// SPDX-License-Identifier: GPL-2.0
//! The process's permissions, where the kernel keeps them: `struct fpu` of the group leader.
//!
//! Nothing is kept on our side, so loading and unloading loses nothing.

use crate::seam::bindings::{self, fpu_state_perm};
use crate::seam::locks::Siglock;
use crate::xstate::permission::{Audience, Permission};
use crate::xstate::xfeature::Xfeatures;
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::task::Task;

fn group_perm(audience: Audience) -> *mut fpu_state_perm {
    // SAFETY: current's group leader outlives it, and has a struct fpu like every task.
    unsafe {
        let leader = (*Task::current_raw()).group_leader;
        let fpu: *mut kernel::bindings::fpu = bindings::xfd_task_fpu(leader).cast();
        match audience {
            Audience::Host => &raw mut (*fpu).perm,
            Audience::Guest => &raw mut (*fpu).guest_perm,
        }
    }
}

fn mask(audience: Audience) -> &'static Atomic<i64> {
    // SAFETY: aligned, lives as long as current, and every access of another task to it is a
    // READ_ONCE() or WRITE_ONCE() (arch/x86/kernel/fpu/xstate.h:31, xstate.c:1709). The reference
    // does not leave this module.
    unsafe { Atomic::from_ptr((&raw mut (*group_perm(audience)).__state_perm).cast()) }
}

/// Permitted components at this moment; another thread may add some right after.
pub(crate) fn xfeatures(audience: Audience) -> Xfeatures {
    Xfeatures::from_bits(mask(audience).load(Relaxed) as u64)
}

/// Permission and sizes, which belong together.
pub(crate) fn get(audience: Audience, _siglock: &Siglock) -> Permission {
    let perm = group_perm(audience);
    // SAFETY: siglock guards the sizes.
    let (kernel_size, user_size) = unsafe { ((*perm).__state_size, (*perm).__user_state_size) };
    Permission {
        xfeatures: xfeatures(audience),
        kernel_size,
        user_size,
    }
}

/// Stores a permission.
pub(crate) fn set(audience: Audience, permission: &Permission, _siglock: &Siglock) {
    let perm = group_perm(audience);
    mask(audience).store(permission.xfeatures.bits() as i64, Relaxed);
    // SAFETY: siglock guards the sizes.
    unsafe {
        (*perm).__state_size = permission.kernel_size;
        (*perm).__user_state_size = permission.user_size;
    }
}
