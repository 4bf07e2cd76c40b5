// SPDX-License-Identifier: GPL-2.0
//! Dynamic extended state (XFD) in Rust: first use of AMX tiles, and permission for it.
//!
//! The order of loading is the order of [`Xfd::init`]: everything that can be refused is looked
//! at before anything is changed; the last step, enabling the livepatch, changes everything at
//! once. Disabling it (/sys/kernel/livepatch/xfd/enabled) gives everything back; the module can
//! be removed only after that, because the livepatch core holds a reference until then.

mod buffer;
mod cpu;
#[cfg(CONFIG_XFD_FAULTS)]
#[path = "fault/faults.rs"]
mod fault;
#[cfg(not(CONFIG_XFD_FAULTS))]
#[path = "fault/faults_off.rs"]
mod fault;
mod first_use;
mod guest;
mod kernel_tiles;
mod permission;
mod reclaim;
mod seam;
mod watch;
#[path = "../xstate/mod.rs"]
#[allow(dead_code, unreachable_pub)] // A crate of its own on the host.
mod xstate;

use buffer::{exit, pool, resume};
use fault::Step;
use kernel::prelude::*;
use seam::{bindings, call_site, kernel::Kernel, livepatch, refusal::Refusal, symbols};

module! {
    type: Xfd,
    name: "xfd",
    authors: ["The xfd authors"],
    description: "Dynamic extended state (XFD, AMX) in Rust",
    license: "GPL",
}

struct Xfd {
    _files: Pin<KBox<watch::stats::Files>>,
    _resume: resume::Watch,
    _pool: pool::Pool,
}

impl kernel::Module for Xfd {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Self::load(module).map_err(Refusal::report)
    }
}

impl Xfd {
    fn load(module: &'static ThisModule) -> Result<Self, Refusal> {
        fault::load_step(Step::Supported)?;
        supported()?;
        fault::load_step(Step::Gates)?;
        symbols::bind_gates()?;
        fault::load_step(Step::Kernel)?;
        Kernel::find()?;
        fault::load_step(Step::CallSite)?;
        call_site::locate()?;
        exit::locate()?;
        reclaim::pass::locate()?;
        fault::load_step(Step::Files)?;
        let files =
            KBox::pin_init(watch::stats::Files::new(), GFP_KERNEL).map_err(|_| Refusal::NoMemory)?;
        let resume = resume::Watch::begin();
        let pool = pool::Pool::new().map_err(|_| Refusal::NoMemory)?;
        fault::load_step(Step::Livepatch)?;
        livepatch::enable(module)?;
        Ok(Self {
            _files: files,
            _resume: resume,
            _pool: pool,
        })
    }
}

impl Drop for Xfd {
    fn drop(&mut self) {
        // A cumulative livepatch of somebody else's replaces ours without asking, and without
        // telling (Documentation/livepatch/cumulative-patches.rst): #NM still comes here then.
        livepatch::give_back();
        livepatch::give_back_guests();
    }
}

/// Whether this CPU has what the module is for, and the kernel uses it.
fn supported() -> Result<(), Refusal> {
    // SAFETY: these read CPU feature bits.
    let (xen_pv, kernel_has_xfd) =
        unsafe { (bindings::xfd_cpu_is_xen_pv(), bindings::xfd_cpu_has_xfd()) };
    if xen_pv {
        Err(Refusal::XenPv)
    } else if !kernel_has_xfd || !cpu::cpuid::has_xfd() {
        Err(Refusal::NoXfd)
    } else {
        Ok(())
    }
}
