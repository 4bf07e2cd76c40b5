// SPDX-License-Identifier: GPL-2.0
//! The functions of the kernel that are taken over by a direct call of ftrace's (direct.c).

use super::refusal::Refusal;
use super::symbols::find;
use super::{bindings, symbols};
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};

/// How many of the list are attached, from its beginning.
static ATTACHED: Atomic<usize> = Atomic::new(0);

/// Attaches all of them, or none. Sleeps.
pub(crate) fn attach() -> Result<(), Refusal> {
    for (direct, symbol) in directs().zip(symbols()) {
        // SAFETY: the address is that of the function for which the trampoline was written.
        let error = unsafe { bindings::xfd_direct_attach(direct, find(symbol)? as c_ulong) };
        if let Err(e) = kernel::error::to_result(error) {
            detach();
            return Err(Refusal::NoDirectCall(symbol, e));
        }
        ATTACHED.add(1, Relaxed);
    }
    Ok(())
}

/// Detaches those that are attached: nobody enters them any more. Sleeps.
pub(crate) fn detach() {
    for direct in directs().take(ATTACHED.xchg(0, Relaxed)) {
        // SAFETY: `attach` did it.
        unsafe { bindings::xfd_direct_detach(direct) };
    }
}

/// The names of the functions.
pub(super) fn symbols() -> impl Iterator<Item = &'static CStr> {
    // SAFETY: an entry with a symbol, a C string literal.
    directs().map(|direct| unsafe { CStr::from_char_ptr(direct.symbol) })
}

fn directs() -> impl Iterator<Item = &'static bindings::xfd_direct> {
    // SAFETY: direct.c ends the array with an entry whose symbol is NULL.
    unsafe {
        symbols::until_null(
            &raw const bindings::xfd_directs,
            |direct: &bindings::xfd_direct| direct.symbol,
        )
    }
}
