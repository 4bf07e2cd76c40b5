// SPDX-License-Identifier: GPL-2.0
//! The callback at which resume_callback.c calls [`crate::buffer::resume`].

use super::refusal::Refusal;
use crate::bindings;
use kernel::prelude::*;

/// Starts calling `xfd_after_resume`. Sleeps. Does not fail.
pub(crate) fn watch() -> Result<(), Refusal> {
    // SAFETY: the life cycle registers it once.
    unsafe { bindings::xfd_resume_watch() };
    Ok(())
}

/// Stops calling it. Sleeps. Does not fail. Nobody is in it: it only runs while no task does.
pub(crate) fn unwatch() -> Result {
    // SAFETY: the life cycle calls this only after `watch` registered it.
    unsafe { bindings::xfd_resume_unwatch() };
    Ok(())
}
