// SPDX-License-Identifier: GPL-2.0
//! Why the module refuses to load: one line in the kernel log, and one errno for insmod.

use kernel::prelude::*;

/// A reason not to load, found before anything was changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// This CPU has no XFD, or the kernel was told not to use it: ENODEV.
    NoXfd,
    /// A Xen PV guest gets #NM from the hypervisor: ENODEV.
    XenPv,
    /// The kernel has no dynamic user component on this machine: ENODEV.
    NoDynamicXfeature,
    /// A kprobe did not yield the address of `kallsyms_lookup_name`: errno of register_kprobe().
    NoKprobe(Error),
    /// The running kernel has no such symbol: ENOENT.
    NoSymbol(&'static CStr),
    /// The kernel's sizes differ from those computed here: ENOEXEC.
    OtherLayout {
        /// The kernel's size in bytes.
        kernel: u32,
        /// This module's size in bytes.
        ours: u32,
    },
    /// `struct fpu` is not where this build expects it: ENOEXEC.
    OtherTaskLayout,
    /// This stub does not contain exactly one call of the handler: ENOEXEC.
    NoCallSite(&'static CStr),
    /// The module is out of reach of a near call: ENOEXEC.
    OutOfReach,
    /// The sysctl kernel.ftrace_enabled is 0: EBUSY.
    FtraceOff,
    /// None of the expected callers calls this function: ENOEXEC.
    NotCalled(&'static CStr),
    /// Another livepatch already replaces this function: EBUSY.
    OtherLivepatch(&'static CStr),
    /// ftrace does not redirect this function to us: its errno; EBUSY if somebody else uses it.
    NoDirectCall(&'static CStr, Error),
    /// There is no memory for the module's own data: ENOMEM.
    NoMemory,
    /// A test asked for this step to fail: ENOMEM.
    #[cfg(CONFIG_XFD_FAULTS)]
    Injected(&'static CStr),
    /// The livepatch core refused: its errno.
    NoLivepatch(Error),
}

impl Refusal {
    /// Logs the reason on one line, and returns the errno for insmod.
    pub(crate) fn report(self) -> Error {
        match self {
            Self::NoXfd => {
                pr_err!("not loaded: this CPU has no XFD (CPUID 0DH.1:EAX[4]), or the kernel was told not to use it; it needs a CPU with AMX\n");
                ENODEV
            }
            Self::XenPv => {
                pr_err!("not loaded: Xen PV guests get #NM from the hypervisor; use an HVM or PVH guest\n");
                ENODEV
            }
            Self::NoDynamicXfeature => {
                pr_err!("not loaded: the kernel offers no dynamic xfeature here; boot without noxsave, noxsaves and clearcpuid\n");
                ENODEV
            }
            Self::NoKprobe(e) => {
                pr_err!("not loaded: cannot place a kprobe on kallsyms_lookup_name (errno {}); it needs CONFIG_KPROBES and a kernel that is not locked down\n", -e.to_errno());
                e
            }
            Self::NoSymbol(name) => {
                pr_err!("not loaded: this kernel has no symbol {}; build the module for this kernel, with CONFIG_KALLSYMS_ALL\n", name);
                ENOENT
            }
            Self::OtherLayout { kernel, ours } => {
                pr_err!("not loaded: the kernel's xstate takes {} bytes, computed {}; build the module for this kernel\n", kernel, ours);
                ENOEXEC
            }
            Self::OtherTaskLayout => {
                pr_err!("not loaded: struct fpu is not where this build expects it; build the module with this kernel's configuration\n");
                ENOEXEC
            }
            Self::NoCallSite(name) => {
                pr_err!("not loaded: no single call of exc_device_not_available in {}; another module may have taken it, or this kernel is not supported\n", name);
                ENOEXEC
            }
            Self::OutOfReach => {
                pr_err!(
                    "not loaded: the module lies more than 2 GiB from the kernel text; reload it\n"
                );
                ENOEXEC
            }
            Self::FtraceOff => {
                pr_err!("not loaded: ftrace is switched off (kernel.ftrace_enabled is 0), and livepatches need it; set it to 1 and load the module again\n");
                EBUSY
            }
            Self::NotCalled(name) => {
                pr_err!("not loaded: this kernel does not call {} where it was expected (the compiler may have inlined it); this kernel is not supported\n", name);
                ENOEXEC
            }
            Self::OtherLivepatch(name) => {
                pr_err!("not loaded: another livepatch replaces {}, which this one would undo; disable it first (/sys/kernel/livepatch)\n", name);
                EBUSY
            }
            Self::NoDirectCall(name, e) => {
                pr_err!("not loaded: ftrace cannot redirect {} to this module (errno {}); detach the BPF program that uses it\n", name, -e.to_errno());
                e
            }
            Self::NoMemory => {
                pr_err!("not loaded: no memory for its own data; free some and load it again\n");
                ENOMEM
            }
            #[cfg(CONFIG_XFD_FAULTS)]
            Self::Injected(step) => {
                pr_err!("not loaded: step {} failed as fail_step asks\n", step);
                ENOMEM
            }
            Self::NoLivepatch(e) => {
                pr_err!(
                    "not loaded: livepatch refused (errno {}); the lines above say why\n",
                    -e.to_errno()
                );
                e
            }
        }
    }
}
