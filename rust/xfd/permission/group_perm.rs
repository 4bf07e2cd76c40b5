// SPDX-License-Identifier: GPL-2.0
//! The process's permissions, where the kernel keeps them: `struct fpu` of the group leader.
//!
//! Nothing is kept on our side, so loading and unloading loses nothing.

use crate::bindings::{self, fpu_state_perm};
use crate::seam::locks::Siglock;
use crate::xstate::permission::{Permission, PermissionKind};
use crate::xstate::xfeature::Xfeatures;

fn group_perm(kind: PermissionKind) -> *mut fpu_state_perm {
    // SAFETY: a live thread's group leader is not released, and has a struct fpu like every task.
    let fpu: *mut kernel::bindings::fpu = unsafe { bindings::xfd_group_fpu() }.cast();
    // SAFETY: within it.
    unsafe {
        match kind {
            PermissionKind::Host => &raw mut (*fpu).perm,
            PermissionKind::Guest => &raw mut (*fpu).guest_perm,
        }
    }
}

/// Permitted components at this moment; another thread may add some right after.
pub(crate) fn xfeatures(kind: PermissionKind) -> Xfeatures {
    // SAFETY: aligned, and lives as long as current. What READ_ONCE() is in C
    // (arch/x86/kernel/fpu/xstate.h:31).
    Xfeatures::from_bits(unsafe { (&raw const (*group_perm(kind)).__state_perm).read_volatile() })
}

/// Stores a permission.
pub(crate) fn set(kind: PermissionKind, permission: &Permission, _siglock: &Siglock) {
    let perm = group_perm(kind);
    // SAFETY: siglock guards the sizes; the mask is read without it, as xfeatures() does, so this
    // is what WRITE_ONCE() is in C (arch/x86/kernel/fpu/xstate.c:1709).
    unsafe {
        (&raw mut (*perm).__state_perm).write_volatile(permission.xfeatures.bits());
        (*perm).__state_size = permission.kernel_size;
        (*perm).__user_state_size = permission.user_size;
    }
}
