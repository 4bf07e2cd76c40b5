// SPDX-License-Identifier: GPL-2.0
//! The livepatch: the kernel functions that this module replaces, and the on/off switch.
//!
//! The livepatch core owns the switch (/sys/kernel/livepatch/xfd/enabled) and the reference that
//! keeps the module loaded while it is on. Its callbacks attach and detach everything else, so one
//! switch controls it all. If a later livepatch also replaces one of these functions, it wins: any
//! fix that it brings stays in effect.

use super::call_site::is_called_by;
use super::refusal::Refusal;
use super::symbols::{find, optional};
use crate::bindings;
use core::cell::UnsafeCell;
use kernel::prelude::*;

/// A static owned by the livepatch core, which accesses it under klp_mutex.
#[repr(transparent)]
struct Owned<T>(UnsafeCell<T>);

// SAFETY: `enable` writes it before the livepatch core knows about it. From then on only the
// livepatch core accesses it, under its own mutex.
unsafe impl<T> Sync for Owned<T> {}

impl<T> Owned<T> {
    const fn zeroed() -> Self {
        // SAFETY: it is only used for the livepatch structs, and C would also zero-initialise a
        // static one.
        Self(UnsafeCell::new(unsafe { core::mem::zeroed() }))
    }
}

/// The maximum number of replaced functions.
const MAX_FUNCTIONS: usize = 3;

/// The replaced functions, and the zero entry that ends the list.
static FUNCTIONS: Owned<[bindings::klp_func; MAX_FUNCTIONS + 1]> = Owned::zeroed();
/// vmlinux (an object without a name), and the zero entry that ends the list.
static OBJECTS: Owned<[bindings::klp_object; 2]> = Owned::zeroed();
static PATCH: Owned<bindings::klp_patch> = Owned::zeroed();

/// A kernel function and its replacement.
pub(crate) struct Replaced {
    pub(crate) symbol: &'static CStr,
    pub(crate) ours: *const (),
    /// Whether loading continues if the kernel does not have the function.
    pub(crate) optional: bool,
}

/// The callbacks before patching and after unpatching. They run under klp_mutex and must not wait
/// for a task.
pub(crate) type Callbacks = (
    extern "C" fn(*mut bindings::klp_object) -> c_int,
    extern "C" fn(*mut bindings::klp_object),
);

/// Enables the livepatch. The transition of running tasks continues after this returns. May sleep.
///
/// Errors: [`Refusal::OtherLivepatch`], [`Refusal::NoSymbol`], [`Refusal::NoLivepatch`].
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
        // SAFETY: module initialisation runs once, and nobody else knows these statics yet. At most
        // `MAX_FUNCTIONS` entries are written before the last one.
        unsafe {
            (*next).old_name = function.symbol.as_char_ptr();
            (*next).new_func = function.ours.cast_mut().cast();
            next = next.add(1);
        }
    }
    // SAFETY: module initialisation runs once, and nobody else knows these statics yet.
    unsafe {
        let object: *mut bindings::klp_object = OBJECTS.0.get().cast();
        (*object).funcs = FUNCTIONS.0.get().cast();
        (*object).callbacks.pre_patch = Some(before);
        (*object).callbacks.post_unpatch = Some(after);
        (*patch).mod_ = module.as_ptr();
        (*patch).objs = object;
    }
    // SAFETY: `patch` is complete, and it is a static.
    kernel::error::to_result(unsafe { bindings::klp_enable_patch(patch) })
        .map_err(Refusal::NoLivepatch)
}

/// Fails if ftrace is disabled: livepatches and direct calls are then impossible.
pub(crate) fn ftrace_is_on() -> Result<(), Refusal> {
    let enabled = find(c"ftrace_enabled")? as *const c_int;
    // SAFETY: the kernel's int of this name (kernel/trace/ftrace.c). A write cannot tear it.
    if unsafe { enabled.read_volatile() } == 0 {
        Err(Refusal::FtraceOff)
    } else {
        Ok(())
    }
}

/// Fails if another livepatch replaces `function`, because ours would undo its fix.
pub(crate) fn not_replaced(function: &'static CStr) -> Result<(), Refusal> {
    let (address, klp_mutex) = (find(function)?, find(c"klp_mutex")?);
    // SAFETY: `klp_mutex` is the livepatch core's mutex (kernel/livepatch/core.h:7). Sleeping is
    // allowed.
    if unsafe { bindings::xfd_gate_is_livepatched(address as *mut c_void, klp_mutex as *mut _) } {
        Err(Refusal::OtherLivepatch(function))
    } else {
        Ok(())
    }
}

/// Fails if none of `callers` calls `function`. The compiler has then inlined it somewhere, and a
/// hook at its beginning would be bypassed.
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
