// SPDX-License-Identifier: GPL-2.0
//! Looks up unexported symbols, and binds the gates to them.

use super::refusal::Refusal;
use crate::bindings;
use core::cell::UnsafeCell;
use kernel::prelude::*;

/// Binds every gate in gates.h. This changes only the module's own text. May sleep.
///
/// Errors: [`Refusal::NoKprobe`], [`Refusal::NoSymbol`].
pub(crate) fn bind_gates() -> Result<(), Refusal> {
    for gate in gates() {
        // SAFETY: `gates()` yields only entries with a symbol, which is a C string literal.
        let symbol = unsafe { CStr::from_char_ptr(gate.symbol) };
        let address = if symbol == c"kallsyms_lookup_name" {
            kallsyms_lookup_name()?
        } else {
            find(symbol)?
        };
        // SAFETY: `address` is that of a function of the gate's type, since gates.h declares both
        // under one name. Module initialisation may sleep.
        unsafe { bindings::xfd_gate_bind(gate, address as c_ulong) };
    }
    Ok(())
}

/// The address of the kernel symbol `name`. The gate of `kallsyms_lookup_name` must be bound, so it
/// comes first in the list.
///
/// Errors: [`Refusal::NoSymbol`].
pub(crate) fn find(name: &'static CStr) -> Result<usize, Refusal> {
    optional(name).ok_or(Refusal::NoSymbol(name))
}

/// The address of the kernel symbol that is named, like [`find`]. `tree/symbols.rs` has the same for a
/// kernel into which this code is built.
macro_rules! symbol {
    ($name:ident) => {{
        const NAME: &::kernel::str::CStr = match ::core::ffi::CStr::from_bytes_with_nul(
            ::core::concat!(::core::stringify!($name), "\0").as_bytes(),
        ) {
            Ok(name) => name,
            Err(_) => ::core::unreachable!(),
        };
        $crate::seam::symbols::find(NAME)
    }};
}
pub(crate) use symbol;

/// The address of the kernel symbol `name`, or `None` if this kernel does not have it.
pub(crate) fn optional(name: &'static CStr) -> Option<usize> {
    // SAFETY: the gate is bound, and the name is NUL-terminated.
    match unsafe { bindings::xfd_gate_lookup(name.as_char_ptr()) } {
        0 => None,
        address => Some(address),
    }
}

/// The addresses of at most four functions named `name`, or `name` plus a suffix that the compiler
/// added (`.constprop.0`, `.cold`). Walks all kernel symbols. May sleep.
pub(super) fn variants(name: &'static CStr) -> impl Iterator<Item = usize> {
    let mut found = [0; bindings::XFD_VARIANTS as usize];
    // SAFETY: the gate is bound, and it writes no more than `XFD_VARIANTS` addresses.
    unsafe { bindings::xfd_gate_find_variants(name.as_char_ptr(), found.as_mut_ptr()) };
    found.into_iter().filter(|&address| address != 0)
}

/// Size in bytes of the kernel function at `address`, up to the next symbol.
pub(super) fn extent(address: usize) -> usize {
    // SAFETY: the gate is bound.
    unsafe { bindings::xfd_gate_size_of(address as c_ulong) as usize }
}

fn gates() -> impl Iterator<Item = &'static bindings::xfd_gate> {
    let first: *const bindings::xfd_gate = (&raw const bindings::xfd_gates).cast();
    (0..)
        // SAFETY: `take_while` stops at the last entry of the array, whose symbol is NULL
        // (gates.c), so nothing beyond it is read.
        .map(move |i| unsafe { &*first.add(i) })
        .take_while(|gate| !gate.symbol.is_null())
}

/// The kprobe. It is not on a stack, because the kernel's list of kprobes may keep a pointer to it
/// if something goes wrong.
struct Probe(UnsafeCell<bindings::kprobe>);

// SAFETY: only module initialisation uses it, and that runs once.
unsafe impl Sync for Probe {}

static PROBE: Probe = Probe(UnsafeCell::new(
    // SAFETY: all members may be zero: that is how the C code initialises a static kprobe.
    unsafe { core::mem::zeroed() },
));

/// The address of kallsyms_lookup_name(). It is not exported, but registering a kprobe on it
/// reveals the address. The probe is registered disabled, so no text is changed and ftrace is not
/// involved.
///
/// Errors: [`Refusal::NoKprobe`].
fn kallsyms_lookup_name() -> Result<usize, Refusal> {
    let probe = PROBE.0.get();
    // SAFETY: nobody else uses this static kprobe.
    let error = unsafe {
        (*probe).symbol_name = c"kallsyms_lookup_name".as_char_ptr();
        (*probe).flags = bindings::KPROBE_FLAG_DISABLED;
        bindings::register_kprobe(probe)
    };
    kernel::error::to_result(error).map_err(Refusal::NoKprobe)?;
    // SAFETY: the kprobe was just registered.
    unsafe {
        let address = (*probe).addr as usize;
        bindings::unregister_kprobe(probe);
        Ok(address)
    }
}
