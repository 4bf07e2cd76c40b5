// SPDX-License-Identifier: GPL-2.0
//! KVM's modules: what of them is taken over while they are there.
//!
//! Without it virtual CPUs work as with the kernel's own code, and get all of their memory when
//! their CPUID shows the component.

use crate::guest::promise;
use crate::seam::bindings::{self, xfd_direct_group};
use crate::seam::{direct, refusal::Refusal};
use kernel::prelude::*;
use kernel::sync::atomic::{AtomicFlag, Relaxed};

/// A module of KVM's.
struct Taken {
    name: &'static CStr,
    group: xfd_direct_group,
    attached: AtomicFlag,
}

static MODULES: [Taken; 2] = [
    Taken {
        name: c"kvm",
        group: bindings::xfd_direct_group_XFD_KVM,
        attached: AtomicFlag::new(false),
    },
    Taken {
        name: c"kvm_intel",
        group: bindings::xfd_direct_group_XFD_KVM_INTEL,
        attached: AtomicFlag::new(false),
    },
];

/// Takes over what of KVM is there, and what comes from now on. Sleeps.
///
/// Errors: those of register_module_notifier(), which has none but EEXIST.
pub(crate) fn watch() -> Result {
    // SAFETY: sleeping is allowed.
    kernel::error::to_result(unsafe { bindings::xfd_kvm_watch() })
}

/// Gives it back. Sleeps.
pub(crate) fn unwatch() {
    // SAFETY: `watch` began it.
    unsafe { bindings::xfd_kvm_unwatch() }
}

fn taken(name: *const c_char) -> Option<&'static Taken> {
    // SAFETY: a module's name, from kvm.c.
    let name = unsafe { CStr::from_char_ptr(name) };
    MODULES.iter().find(|module| module.name == name)
}

/// Promises need all of it: whoever waits with the memory has to see each update.
fn tell_promises() {
    promise::allow(MODULES.iter().all(|module| module.attached.load(Relaxed)));
}

/// A module has come, and nobody runs its code yet; or it was there. One at a time. Sleeps.
#[no_mangle]
extern "C" fn xfd_kvm_came(name: *const c_char) {
    let Some(module) = taken(name) else { return };
    // Told of it while `watch` looked for it.
    if module.attached.load(Relaxed) {
        return;
    }
    match direct::attach(module.group) {
        Ok(()) => module.attached.store(true, Relaxed),
        // It is not there.
        Err(Refusal::NoSymbol(_)) => (),
        Err(_) => pr_info!(
            "cannot take over all of {}: virtual CPUs get their memory at once, as without this module; a BPF program may have one of its functions\n",
            module.name
        ),
    }
    tell_promises();
}

/// A module goes, and nobody runs its code any more; or this one does. One at a time. Sleeps.
#[no_mangle]
extern "C" fn xfd_kvm_goes(name: *const c_char) {
    let Some(module) = taken(name) else { return };
    module.attached.store(false, Relaxed);
    tell_promises();
    direct::detach(module.group);
}
