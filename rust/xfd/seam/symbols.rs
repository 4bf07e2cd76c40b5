// SPDX-License-Identifier: GPL-2.0
//! Finding unexported symbols, and binding the gates to them.

use super::refusal::Refusal;
use crate::bindings;
use core::cell::UnsafeCell;
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

/// Addresses of the functions that are called `name`, or `name` with a suffix of the compiler's
/// (`.constprop.0`, `.cold`); no more than four. Looks at every symbol of the kernel.
pub(super) fn variants(name: &'static CStr) -> impl Iterator<Item = usize> {
    let mut found = [0; bindings::XFD_VARIANTS as usize];
    // SAFETY: a bound gate; it writes no more than that many addresses.
    unsafe { bindings::xfd_gate_find_variants(name.as_char_ptr(), found.as_mut_ptr()) };
    found
        .into_iter()
        .filter(|&address| address != 0)
        .map(|address| address as usize)
}

/// Bytes from the start of the kernel function at `address` to the next symbol.
pub(super) fn extent(address: usize) -> usize {
    // SAFETY: a bound gate.
    unsafe { bindings::xfd_gate_size_of(address as c_ulong) as usize }
}

fn gates() -> impl Iterator<Item = &'static bindings::xfd_gate> {
    let first: *const bindings::xfd_gate = (&raw const bindings::xfd_gates).cast();
    (0..)
        // SAFETY: `take_while` reads no further than the entry that ends it: gates.c ends the array
        // with an entry whose symbol is NULL.
        .map(move |i| unsafe { &*first.add(i) })
        .take_while(|gate| !gate.symbol.is_null())
}

/// The kernel's own list of kprobes may keep a pointer to it if something goes wrong, so it is not on
/// a stack.
struct Probe(UnsafeCell<bindings::kprobe>);

// SAFETY: only module initialisation uses it, which runs once.
unsafe impl Sync for Probe {}

// SAFETY: zero is C's initial value of every member (static initialisation).
static PROBE: Probe = Probe(UnsafeCell::new(unsafe { core::mem::zeroed() }));

/// kallsyms_lookup_name() is not exported, but a kprobe on it is told its address. The probe is
/// disabled from the start: no text is changed, and ftrace has nothing to do with it.
fn kallsyms_lookup_name() -> Result<usize, Refusal> {
    let probe = PROBE.0.get();
    // SAFETY: nobody else knows it, and it is static.
    let error = unsafe {
        (*probe).symbol_name = c"kallsyms_lookup_name".as_char_ptr();
        (*probe).flags = bindings::KPROBE_FLAG_DISABLED;
        bindings::register_kprobe(probe)
    };
    kernel::error::to_result(error).map_err(Refusal::NoKprobe)?;
    // SAFETY: it was registered.
    unsafe {
        let address = (*probe).addr as usize;
        bindings::unregister_kprobe(probe);
        Ok(address)
    }
}
