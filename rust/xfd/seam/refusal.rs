// SPDX-License-Identifier: GPL-2.0
//! Why the module will not load: one line for dmesg, one errno for insmod.

use kernel::prelude::*;

/// A reason found before anything was changed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// No XFD on this CPU (or switched off on the kernel's command line): ENODEV.
    NoXfd,
    /// A Xen PV guest gets its #NM from the hypervisor: ENODEV.
    XenPv,
    /// The kernel has no dynamic user component on this machine: ENODEV.
    NoDynamicXfeature,
    /// kprobes would not tell where `kallsyms_lookup_name` is: the errno of register_kprobe().
    NoKprobe(Error),
    /// The running kernel lacks this symbol: ENOENT.
    NoSymbol(&'static CStr),
    /// The sizes the kernel uses are not those computed here: ENOEXEC.
    OtherLayout {
        /// Bytes, by the kernel.
        kernel: u32,
        /// Bytes, by this module.
        ours: u32,
    },
    /// `struct fpu` is not where this module was built to find it: ENOEXEC.
    OtherTaskLayout,
    /// Not exactly one call of the handler where this was looked for: ENOEXEC.
    NoCallSite(&'static CStr),
    /// The module was loaded out of reach of a near call: ENOEXEC.
    OutOfReach,
    /// The sysctl kernel.ftrace_enabled is 0: EBUSY.
    FtraceOff,
    /// Nobody calls this function where it was looked for: ENOEXEC.
    NotCalled(&'static CStr),
    /// Another livepatch replaces this function already: EBUSY.
    OtherLivepatch(&'static CStr),
    /// ftrace will not lead this function to us: its errno, EBUSY if somebody else has it.
    NoDirectCall(&'static CStr, Error),
    /// ENOMEM.
    NoMemory,
    /// A test asked for it: ENOMEM.
    #[cfg(CONFIG_XFD_FAULTS)]
    Injected(&'static CStr),
    /// The livepatch core said no: its errno.
    NoLivepatch(Error),
}

impl Refusal {
    /// Says why, in one line of the kernel log, and returns the errno for insmod.
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
                pr_err!("not loaded: ftrace is switched off (kernel.ftrace_enabled is 0), and livepatches need it; write 1 and load it again\n");
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
                pr_err!("not loaded: ftrace will not call ours for {} (errno {}); detach the BPF program that has it\n", name, -e.to_errno());
                e
            }
            Self::NoMemory => {
                pr_err!("not loaded: no memory for its own state; free some and load it again\n");
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
