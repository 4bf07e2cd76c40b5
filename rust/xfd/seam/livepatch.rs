// SPDX-License-Identifier: GPL-2.0
//! The functions of the kernel that this module replaces, and the switch that does it.
//!
//! The livepatch core owns the switch (/sys/kernel/livepatch/xfd/enabled) and the reference that
//! keeps the module loaded while it is on. Its callbacks take the #NM call site along, so that
//! one switch moves everything.

use super::symbols::find;
use super::{bindings, call_site, direct, refusal::Refusal};
use crate::guest::guests;
use crate::fault::{self, Step};
use crate::buffer::{exit, pool};
use core::cell::UnsafeCell;
use kernel::prelude::*;
use kernel::sync::atomic::{AtomicFlag, Relaxed};

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

const REPLACED: usize = 1;

/// The replaced functions and the zero entry that ends the list.
static FUNCTIONS: Owned<[bindings::klp_func; REPLACED + 1]> = Owned::zeroed();
/// vmlinux (no name), and the zero entry.
static OBJECTS: Owned<[bindings::klp_object; 2]> = Owned::zeroed();
static PATCH: Owned<bindings::klp_patch> = Owned::zeroed();

/// Starts the replacement. The transition of running tasks goes on after this returns.
pub(crate) fn enable(module: &'static ThisModule) -> Result<(), Refusal> {
    let replaced: [(&CStr, *const ()); REPLACED] = [(
        c"fpu_flush_thread",
        crate::buffer::exec::xfd_fpu_flush_thread as *const (),
    )];
    for name in replaced.iter().map(|&(name, _)| name) {
        not_replaced(name)?;
    }
    for group in [
        bindings::xfd_direct_group_XFD_HOST,
        bindings::xfd_direct_group_XFD_GUEST,
    ] {
        for name in direct::symbols(group) {
            not_replaced(name)?;
        }
    }
    let patch = PATCH.0.get();

    // SAFETY: module initialisation runs once, and nobody else knows these statics yet.
    unsafe {
        let functions: *mut bindings::klp_func = FUNCTIONS.0.get().cast();
        for (i, (name, function)) in replaced.into_iter().enumerate() {
            (*functions.add(i)).old_name = name.as_char_ptr();
            (*functions.add(i)).new_func = function.cast_mut().cast();
        }
        let object: *mut bindings::klp_object = OBJECTS.0.get().cast();
        (*object).funcs = functions;
        (*object).callbacks.pre_patch = Some(before_patching);
        (*object).callbacks.post_unpatch = Some(after_unpatching);
        (*patch).mod_ = module.as_ptr();
        (*patch).objs = object;
    }
    // SAFETY: `patch` is complete and static.
    kernel::error::to_result(unsafe { bindings::klp_enable_patch(patch) })
        .map_err(Refusal::NoLivepatch)
}

/// Fails if another livepatch has `function`: what it repairs would come back with ours.
fn not_replaced(function: &'static CStr) -> Result<(), Refusal> {
    let (address, klp_mutex) = (find(function)?, find(c"klp_mutex")?);
    // SAFETY: `klp_mutex` is the livepatch core's mutex (kernel/livepatch/core.h:7).
    if unsafe { bindings::xfd_gate_is_livepatched(address as *mut c_void, klp_mutex as *mut _) } {
        Err(Refusal::OtherLivepatch(function))
    } else {
        Ok(())
    }
}

static TAKEN_OVER: AtomicFlag = AtomicFlag::new(false);

/// Everything that is switched with the functions, and is not one.
fn take_over() -> Result<(), Refusal> {
    fault::load_step(Step::Redirect)?;
    direct::attach(bindings::xfd_direct_group_XFD_HOST)?;
    if let Err(refusal) = guests::take_over() {
        direct::detach(bindings::xfd_direct_group_XFD_HOST);
        return Err(refusal);
    }
    if exit::watch().is_err() {
        guests::give_back();
        direct::detach(bindings::xfd_direct_group_XFD_HOST);
        return Err(Refusal::NoMemory);
    }
    call_site::redirect();
    // SAFETY: sleeping is allowed.
    unsafe { bindings::xfd_background_start() };
    TAKEN_OVER.store(true, Relaxed);
    Ok(())
}

/// Undoes [`take_over`], if it is in effect; nobody is in the handler then. Sleeps.
pub(crate) fn give_back() {
    if !TAKEN_OVER.xchg(false, Relaxed) {
        return;
    }
    // SAFETY: sleeping is allowed.
    unsafe { bindings::xfd_background_stop() };
    direct::detach(bindings::xfd_direct_group_XFD_HOST);
    guests::give_back_unless_owed();
    call_site::restore();
    exit::unwatch();
    // SAFETY: sleeping is allowed. Who was still on the way through a trampoline is gone then.
    unsafe { bindings::xfd_direct_synchronize() };
    pool::empty();
}

/// Gives virtual CPUs back, if [`give_back`] left them; none of them waits for anything now.
/// Sleeps.
pub(crate) fn give_back_guests() {
    if guests::give_back() {
        // SAFETY: nobody enters any more, and sleeping is allowed.
        unsafe {
            bindings::xfd_wait_for_handlers();
            bindings::xfd_direct_synchronize();
        }
    }
}

extern "C" fn before_patching(_: *mut bindings::klp_object) -> c_int {
    if let Err(refusal) = take_over() {
        return refusal.report().to_errno();
    }
    pr_info!("first uses of dynamic xfeatures are handled here\n");
    0
}

extern "C" fn after_unpatching(_: *mut bindings::klp_object) {
    give_back();
    pr_info!("first uses of dynamic xfeatures are handled by the kernel again\n");
}
