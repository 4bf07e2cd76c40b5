// SPDX-License-Identifier: GPL-2.0
//! The kernel functions in which reclaim must not touch a task (holders.h).

use super::refusal::Refusal;
use crate::bindings;
use kernel::prelude::*;

/// Looks up the kernel functions in which reclaim must not touch a task. Changes nothing else.
///
/// Errors: [`Refusal::NoSymbol`].
pub(crate) fn locate() -> Result<(), Refusal> {
    // SAFETY: the gates are bound.
    let missing = unsafe { bindings::xfd_find_holders() };
    if missing.is_null() {
        return Ok(());
    }
    // SAFETY: this is a C string literal of tasks.c.
    Err(Refusal::NoSymbol(unsafe { CStr::from_char_ptr(missing) }))
}
