// SPDX-License-Identifier: GPL-2.0
//! The functions of the kernel that this module replaces, and the switch that does it.
//!
//! The livepatch core owns the switch (/sys/kernel/livepatch/xfd/enabled) and the reference that
//! keeps the module loaded while it is on. Its callbacks take everything else along, so that one
//! switch moves everything. A livepatch that comes later and has one of these functions, too, is the
//! one that counts: what it repairs stays repaired.

use super::call_site::is_called_by;
use super::refusal::Refusal;
use super::symbols::{find, optional};
use crate::bindings;
use core::cell::UnsafeCell;
use kernel::prelude::*;

/// A static that the livepatch core reads and writes under klp_mutex.
#[repr(transparent)]
struct Owned<T>(UnsafeCell<T>);

// SAFETY: written by `enable` before the livepatch core knows of it, and by that core, under its
// own mutex, from then on.
unsafe impl<T> Sync for Owned<T> {}

impl<T> Owned<T> {
    const fn zeroed() -> Self {
        // SAFETY: used with the livepatch structs only, C's static initialisation of which is
        // zero.
        Self(UnsafeCell::new(unsafe { core::mem::zeroed() }))
    }
}

/// How many functions can be replaced.
const MAX_FUNCTIONS: usize = 3;

/// The replaced functions and the zero entry that ends the list.
static FUNCTIONS: Owned<[bindings::klp_func; MAX_FUNCTIONS + 1]> = Owned::zeroed();
/// vmlinux (no name), and the zero entry.
static OBJECTS: Owned<[bindings::klp_object; 2]> = Owned::zeroed();
static PATCH: Owned<bindings::klp_patch> = Owned::zeroed();

/// A function of the kernel, and ours.
pub(crate) struct Replaced {
    pub(crate) symbol: &'static CStr,
    pub(crate) ours: *const (),
    /// Without it the kernel has no use for it, and loading goes on.
    pub(crate) optional: bool,
}

/// What the switch takes along, both called under klp_mutex: must not wait for a task.
pub(crate) type Callbacks = (
    extern "C" fn(*mut bindings::klp_object) -> c_int,
    extern "C" fn(*mut bindings::klp_object),
);

/// Starts the replacement. The transition of running tasks goes on after this returns.
pub(crate) fn enable(
    module: &'static ThisModule,
    functions: &[Replaced],
    (before, after): Callbacks,
) -> Result<(), Refusal> {
    let patch = PATCH.0.get();
    let mut next: *mut bindings::klp_func = FUNCTIONS.0.get().cast();
    for function in functions.iter().take(MAX_FUNCTIONS) {
        if function.optional && optional(function.symbol).is_none() {
            continue;
        }
        not_replaced(function.symbol)?;
        // SAFETY: module initialisation runs once, and nobody else knows these statics yet; there
        // are no more than `MAX_FUNCTIONS` entries before the last.
        unsafe {
            (*next).old_name = function.symbol.as_char_ptr();
            (*next).new_func = function.ours.cast_mut().cast();
            next = next.add(1);
        }
    }
    // SAFETY: as above.
    unsafe {
        let object: *mut bindings::klp_object = OBJECTS.0.get().cast();
        (*object).funcs = FUNCTIONS.0.get().cast();
        (*object).callbacks.pre_patch = Some(before);
        (*object).callbacks.post_unpatch = Some(after);
        (*patch).mod_ = module.as_ptr();
        (*patch).objs = object;
    }
    // SAFETY: `patch` is complete and static.
    kernel::error::to_result(unsafe { bindings::klp_enable_patch(patch) })
        .map_err(Refusal::NoLivepatch)
}

/// Fails if ftrace is switched off: neither livepatches nor direct calls can be had.
pub(crate) fn ftrace_is_on() -> Result<(), Refusal> {
    let enabled = find(c"ftrace_enabled")? as *const c_int;
    // SAFETY: the kernel's int of that name (kernel/trace/ftrace.c), written in one piece.
    if unsafe { enabled.read_volatile() } == 0 {
        Err(Refusal::FtraceOff)
    } else {
        Ok(())
    }
}

/// Fails if another livepatch has `function`: what it repairs would come back with ours.
pub(crate) fn not_replaced(function: &'static CStr) -> Result<(), Refusal> {
    let (address, klp_mutex) = (find(function)?, find(c"klp_mutex")?);
    // SAFETY: `klp_mutex` is the livepatch core's mutex (kernel/livepatch/core.h:7).
    if unsafe { bindings::xfd_gate_is_livepatched(address as *mut c_void, klp_mutex as *mut _) } {
        Err(Refusal::OtherLivepatch(function))
    } else {
        Ok(())
    }
}

/// Fails if none of `callers` calls `function`: the compiler has put a copy of it somewhere, and a
/// hook at its beginning would not be passed.
pub(crate) fn is_called(function: &'static CStr, callers: &[&'static CStr]) -> Result<(), Refusal> {
    let address = find(function)?;
    let called = callers
        .iter()
        .filter_map(|caller| optional(caller))
        .any(|caller| is_called_by(address, caller));
    if called {
        Ok(())
    } else {
        Err(Refusal::NotCalled(function))
    }
}
