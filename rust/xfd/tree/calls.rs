// SPDX-License-Identifier: GPL-2.0
//! Kernel functions that modules cannot link to, by the names of `seam/calls.rs`.

use crate::bindings;
pub(crate) use crate::bindings::{
    fpstate_reset as reset_fpstate, get_sigframe_size as sigframe_size,
    switch_fpu_return as load_fpregs, uprobe_get_trap_addr as trap_address,
};
use kernel::prelude::*;

/// Raises a fault signal in current.
///
/// # Safety
///
/// Task context.
#[inline(always)]
pub(crate) unsafe fn force_sig_fault(sig: c_int, code: c_int, address: c_ulong) {
    // SAFETY: the contract of the C function is that of this one. It always returns 0.
    unsafe { bindings::force_sig_fault(sig, code, address as *mut c_void) };
}
