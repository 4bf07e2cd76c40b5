// SPDX-License-Identifier: GPL-2.0
//! Without CONFIG_XFD_FAULTS nothing is injected, and none of that code is compiled in.

use crate::seam::refusal::Refusal;
use kernel::prelude::*;

/// See faults.rs.
#[derive(Clone, Copy)]
pub(crate) enum Point {
    Cleared,
    Permitted,
    Allocated,
    Decided,
}

/// See faults.rs.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Supported,
    Gates,
    Kernel,
    CallSite,
    Pool,
    Livepatch,
}

#[inline(always)]
pub(crate) fn wait_at(_: Point) {}

#[inline(always)]
pub(crate) fn allocation_fails() -> bool {
    false
}

#[inline(always)]
pub(crate) fn load_step(_: Step) -> Result<(), Refusal> {
    Ok(())
}

#[inline(always)]
pub(crate) fn attach_step(_: usize, _: &'static CStr) -> Result<(), Refusal> {
    Ok(())
}

#[inline(always)]
pub(crate) fn pretend_fred() -> bool {
    false
}

#[inline(always)]
pub(crate) fn detach_fails() -> bool {
    false
}
