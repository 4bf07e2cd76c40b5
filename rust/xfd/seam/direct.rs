// SPDX-License-Identifier: GPL-2.0
//! fpu_xstate_prctl(), whose calls ftrace redirects to this module (direct.c).

use super::refusal::Refusal;
use super::symbols::find;
use crate::bindings;
use kernel::prelude::*;

/// The redirected function.
pub(crate) const FUNCTION: &CStr = c"fpu_xstate_prctl";

/// Redirects the function's calls to this module. May sleep.
///
/// Errors: [`Refusal::NoDirectCall`], with EBUSY if a BPF program is attached to the function.
pub(crate) fn attach() -> Result<(), Refusal> {
    let function = find(FUNCTION)?;
    // SAFETY: the trampoline was written for this function, and this is process context.
    kernel::error::to_result(unsafe { bindings::xfd_direct_attach(function as c_ulong) })
        .map_err(|e| Refusal::NoDirectCall(FUNCTION, e))
}

/// Stops redirecting: from then on nobody enters through it. May sleep.
///
/// Errors: those of unregister_ftrace_direct(). ftrace has then disabled itself, and calls may
/// still arrive.
pub(crate) fn detach() -> Result {
    // SAFETY: lifecycle.rs calls this only after `attach` succeeded. This is process context.
    kernel::error::to_result(unsafe { bindings::xfd_direct_detach() })
}
