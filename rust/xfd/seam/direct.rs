// SPDX-License-Identifier: GPL-2.0
//! The functions of the kernel that are taken over by a direct call of ftrace's (direct.c).

use super::refusal::Refusal;
use super::{bindings, bindings::xfd_direct_group, symbols};
use core::ptr;
use kernel::prelude::*;

/// Attaches all of `group`, or none. Sleeps. One at a time.
pub(crate) fn attach(group: xfd_direct_group) -> Result<(), Refusal> {
    let mut failed: *const bindings::xfd_direct = ptr::null();
    // SAFETY: the gates are bound; each trampoline was written for the function it is listed with.
    let error = unsafe { bindings::xfd_direct_attach(group, &mut failed) };
    kernel::error::to_result(error).map_err(|e| {
        // SAFETY: NULL, or an entry of the list.
        match unsafe { failed.as_ref() }.map(symbol_of) {
            Some(symbol) if e == ENOENT => Refusal::NoSymbol(symbol),
            Some(symbol) => Refusal::NoDirectCall(symbol, e),
            None => Refusal::NoMemory,
        }
    })
}

/// Detaches those of `group` that are attached: nobody enters them any more. Sleeps.
pub(crate) fn detach(group: xfd_direct_group) {
    // SAFETY: does nothing for those that are not attached.
    unsafe { bindings::xfd_direct_detach(group) }
}

/// The names of the functions of `group`.
pub(super) fn symbols(group: xfd_direct_group) -> impl Iterator<Item = &'static CStr> {
    directs(group).map(symbol_of)
}

fn symbol_of(direct: &'static bindings::xfd_direct) -> &'static CStr {
    // SAFETY: an entry with a symbol, a C string literal.
    unsafe { CStr::from_char_ptr(direct.symbol) }
}

fn directs(group: xfd_direct_group) -> impl Iterator<Item = &'static bindings::xfd_direct> {
    // SAFETY: direct.c ends the array with an entry whose symbol is NULL.
    unsafe {
        symbols::until_null(
            &raw const bindings::xfd_directs,
            |direct: &bindings::xfd_direct| direct.symbol,
        )
    }
    .filter(move |direct| direct.group == group)
}
