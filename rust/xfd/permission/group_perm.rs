// SPDX-License-Identifier: GPL-2.0
//! A process's permissions, kept where the kernel keeps them: in the group leader's `struct fpu`.
//!
//! The module keeps no copy, so nothing is lost when it is loaded or unloaded.

use crate::bindings::{self, fpu_state_perm};
use crate::seam::locks::Siglock;
use crate::xstate::permission::{Permission, PermissionKind};
use crate::xstate::xfeature::Xfeatures;

fn group_perm(kind: PermissionKind) -> *mut fpu_state_perm {
    // SAFETY: the group leader is not released while current lives, and every task has a struct
    // fpu.
    let fpu: *mut kernel::bindings::fpu = unsafe { bindings::xfd_group_fpu() }.cast();
    // SAFETY: these are members of that struct fpu.
    unsafe {
        match kind {
            PermissionKind::Host => &raw mut (*fpu).perm,
            PermissionKind::Guest => &raw mut (*fpu).guest_perm,
        }
    }
}

/// The currently permitted components. Another thread may add some at any time. Task context.
pub(crate) fn xfeatures(kind: PermissionKind) -> Xfeatures {
    // SAFETY: the mask is aligned and lives as long as current. The C code uses READ_ONCE() here
    // (arch/x86/kernel/fpu/xstate.h:31).
    Xfeatures::from_bits(unsafe { (&raw const (*group_perm(kind)).__state_perm).read_volatile() })
}

/// Stores a permission. The caller holds siglock.
pub(crate) fn set(kind: PermissionKind, permission: &Permission, _siglock: &Siglock) {
    let perm = group_perm(kind);
    // SAFETY: siglock protects the sizes. The mask is read without a lock (`xfeatures`), so it is
    // written as with WRITE_ONCE() in the C code (arch/x86/kernel/fpu/xstate.c:1709).
    unsafe {
        (&raw mut (*perm).__state_perm).write_volatile(permission.xfeatures.bits());
        (*perm).__state_size = permission.kernel_size;
        (*perm).__user_state_size = permission.user_size;
    }
}
