// SPDX-License-Identifier: GPL-2.0
//! The functions of the kernel that are taken over by a direct call of ftrace's (direct.c).

use super::refusal::Refusal;
use super::symbols::find;
use super::{bindings, bindings::xfd_direct_group, symbols};
use kernel::prelude::*;

/// Attaches all of `group`, or none. Sleeps. One at a time for each group.
pub(crate) fn attach(group: xfd_direct_group) -> Result<(), Refusal> {
    for direct in directs(group) {
        if let Err(refusal) = attach_one(direct) {
            detach(group);
            return Err(refusal);
        }
    }
    Ok(())
}

fn attach_one(direct: &'static bindings::xfd_direct) -> Result<(), Refusal> {
    let symbol = symbol_of(direct);
    // SAFETY: the address is that of the function for which the trampoline was written.
    let error = unsafe { bindings::xfd_direct_attach(direct, find(symbol)? as c_ulong) };
    kernel::error::to_result(error).map_err(|e| Refusal::NoDirectCall(symbol, e))
}

/// Whether `refusal` says that the kernel has no such function: its module is not loaded.
pub(crate) fn is_absent(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::NoSymbol(_))
}

/// Detaches those of `group` that are attached: nobody enters them any more. Sleeps.
pub(crate) fn detach(group: xfd_direct_group) {
    for direct in directs(group) {
        // SAFETY: does nothing for one that is not attached.
        unsafe { bindings::xfd_direct_detach(direct) };
    }
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
