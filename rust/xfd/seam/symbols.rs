// SPDX-License-Identifier: GPL-2.0
//! Finding unexported symbols, and binding the gates to them.

use super::bindings;
use super::refusal::Refusal;
use kernel::prelude::*;

/// Binds every gate of gates.h. Changes nothing but this module's own text.
pub(crate) fn bind_gates() -> Result<(), Refusal> {
    for gate in gates() {
        // SAFETY: `gates()` yields entries with a symbol, a C string literal.
        let symbol = unsafe { CStr::from_char_ptr(gate.symbol) };
        let address = if symbol == c"kallsyms_lookup_name" {
            kallsyms_lookup_name()?
        } else {
            find(symbol)?
        };
        // SAFETY: `address` is that of the function whose type the gate has (gates.h names both
        // at once); binding sleeps, and module initialisation may.
        unsafe { bindings::xfd_gate_bind(gate, address as c_ulong) };
    }
    Ok(())
}

/// Address of the kernel symbol `name`. The gate of `kallsyms_lookup_name` must be bound: it is
/// the first of the list.
pub(crate) fn find(name: &'static CStr) -> Result<usize, Refusal> {
    optional(name).ok_or(Refusal::NoSymbol(name))
}

/// Address of the kernel symbol `name`, if this kernel has it.
pub(crate) fn optional(name: &'static CStr) -> Option<usize> {
    // SAFETY: a bound gate, and a NUL-terminated name.
    match unsafe { bindings::xfd_gate_lookup(name.as_char_ptr()) } {
        0 => None,
        address => Some(address),
    }
}

fn gates() -> impl Iterator<Item = &'static bindings::xfd_gate> {
    // SAFETY: gates.c ends the array with an entry whose symbol is NULL.
    unsafe {
        until_null(
            &raw const bindings::xfd_gates,
            |gate: &bindings::xfd_gate| gate.symbol,
        )
    }
}

/// The entries of a list of C's that begins at `list`.
///
/// # Safety
///
/// It is a static array, the last entry of which has a NULL symbol.
pub(super) unsafe fn until_null<L, T: 'static>(
    list: *const L,
    symbol: impl Fn(&T) -> *const c_char,
) -> impl Iterator<Item = &'static T> {
    let first: *const T = list.cast();
    (0..)
        // SAFETY: `take_while` reads no further than the entry that ends it.
        .map(move |i| unsafe { &*first.add(i) })
        .take_while(move |entry| !symbol(entry).is_null())
}

/// kallsyms_lookup_name() is not exported, but a kprobe on it is told its address.
fn kallsyms_lookup_name() -> Result<usize, Refusal> {
    // SAFETY: zero is C's initial value of every member (static initialisation).
    let mut probe: bindings::kprobe = unsafe { core::mem::zeroed() };
    probe.symbol_name = c"kallsyms_lookup_name".as_char_ptr();
    // SAFETY: `probe` stays where it is until it is unregistered below.
    let error = unsafe { bindings::register_kprobe(&mut probe) };
    kernel::error::to_result(error).map_err(Refusal::NoKprobe)?;
    let address = probe.addr as usize;
    // SAFETY: it was registered.
    unsafe { bindings::unregister_kprobe(&mut probe) };
    Ok(address)
}
