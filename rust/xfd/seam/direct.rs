// SPDX-License-Identifier: GPL-2.0
//! fpu_xstate_prctl(), which ftrace leads to us (direct.c).

use super::refusal::Refusal;
use super::symbols::find;
use crate::bindings;
use kernel::prelude::*;

/// The function.
pub(crate) const FUNCTION: &CStr = c"fpu_xstate_prctl";

/// Its calls come to this module. Sleeps.
///
/// Errors: [`Refusal::NoDirectCall`], with EBUSY if a BPF program has the function.
pub(crate) fn attach() -> Result<(), Refusal> {
    let function = find(FUNCTION)?;
    // SAFETY: the trampoline was written for this function.
    kernel::error::to_result(unsafe { bindings::xfd_direct_attach(function as c_ulong) })
        .map_err(|e| Refusal::NoDirectCall(FUNCTION, e))
}

/// Nobody enters by it any more. Sleeps.
///
/// Errors: those of unregister_ftrace_direct(): ftrace has switched itself off, and the calls may come yet.
pub(crate) fn detach() -> Result {
    // SAFETY: `attach` attached it.
    kernel::error::to_result(unsafe { bindings::xfd_direct_detach() })
}
