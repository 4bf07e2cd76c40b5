// SPDX-License-Identifier: GPL-2.0
//! Taking over virtual CPUs, and giving them back: with the tasks, unless one of them waits for
//! what it was promised.

use crate::seam::refusal::Refusal;
use crate::seam::{bindings, direct};
use crate::guest::{kvm_modules, promise};
use kernel::prelude::*;
use kernel::sync::atomic::{AtomicFlag, Relaxed};

static TAKEN_OVER: AtomicFlag = AtomicFlag::new(false);

/// All of it, or nothing. Sleeps.
pub(crate) fn take_over() -> Result<(), Refusal> {
    direct::attach(bindings::xfd_direct_group_XFD_GUEST)?;
    if kvm_modules::watch().is_err() {
        direct::detach(bindings::xfd_direct_group_XFD_GUEST);
        return Err(Refusal::NoMemory);
    }
    TAKEN_OVER.store(true, Relaxed);
    Ok(())
}

/// Gives them back if the kernel's own code can go on with all of them; else when this module is
/// removed, which it cannot be before. Sleeps.
pub(crate) fn give_back_unless_owed() {
    match promise::end() {
        0 => {
            give_back();
        }
        owed => pr_info!("{owed} virtual CPUs have no room yet for the tiles that their CPUID shows; the module is needed until they have, or are gone\n"),
    }
}

/// Gives them back, if they were not yet; nobody enters their functions any more. Sleeps. Whether
/// there was something to give back.
pub(crate) fn give_back() -> bool {
    let taken_over = TAKEN_OVER.xchg(false, Relaxed);
    if taken_over {
        kvm_modules::unwatch();
        direct::detach(bindings::xfd_direct_group_XFD_GUEST);
    }
    taken_over
}
