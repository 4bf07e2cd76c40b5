// SPDX-License-Identifier: GPL-2.0
//! Dynamic extended state (XFD) in Rust: first use of AMX tiles, and permission for it.
//!
//! The order of loading is the order of [`Xfd::init`]: everything that can be refused is looked
//! at before anything is changed; the last step, enabling the livepatch, changes everything at
//! once. Disabling it (/sys/kernel/livepatch/xfd/enabled) gives everything back; the module can
//! be removed only after that, because the livepatch core holds a reference until then.

mod cpu;
mod exec;
mod fpstate;
mod group_perm;
mod nm_handler;
mod prctl;
mod seam;
mod stats;
mod trace;
#[path = "../xstate/mod.rs"]
#[allow(dead_code, unreachable_pub)] // A crate of its own on the host.
mod xstate;

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
    _files: Pin<KBox<stats::Files>>,
}

impl kernel::Module for Xfd {
    fn init(module: &'static ThisModule) -> Result<Self> {
        supported().map_err(Refusal::report)?;
        symbols::bind_gates().map_err(Refusal::report)?;
        Kernel::find().map_err(Refusal::report)?;
        call_site::locate().map_err(Refusal::report)?;
        let files = KBox::pin_init(stats::Files::new(), GFP_KERNEL)?;
        livepatch::enable(module).map_err(Refusal::report)?;
        Ok(Self { _files: files })
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
