// SPDX-License-Identifier: GPL-2.0
//! The running kernel's configuration of extended state, read once: when the module is loaded, or
//! while a kernel boots into which this code is built.

use super::calls;
use super::refusal::Refusal;
use super::symbols::symbol;
use crate::bindings;
use crate::cpu::{cpuid, current::current_fpu, percpu::PerCpuU64};
use crate::xstate::capacity::{Capacities, Capacity};
use crate::xstate::facility;
use crate::xstate::layout::{Format, Layout};
use crate::xstate::xfeature::{self, Xfeatures};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use kernel::prelude::*;

// The table of facilities is that of the kernel that this is built for
// (Documentation/facilities.rst).
const _: () = {
    assert!(bindings::XFD_USER_DYNAMIC == facility::DYNAMIC.bits());
    assert!(bindings::xfeature_XFEATURE_MAX as u64 == xfeature::XFEATURE_MAX);
};

/// The kernel's data about extended state, found by symbol.
pub(crate) struct Kernel {
    /// `fpu_user_cfg`.
    user: &'static bindings::fpu_state_config,
    /// `init_fpstate`, the initial state of every component.
    init_fpstate: *const kernel::bindings::fpstate,
    /// `xfd_state`: the value last written to each CPU's IA32_XFD.
    pub(crate) xfd_state: PerCpuU64,
    /// The buffer size for a given set of components.
    pub(crate) capacities: Capacities,
    /// The capacity for everything that a task can be permitted to use.
    pub(crate) largest_capacity: Capacity,
    /// Size in bytes of the machine's largest signal frame.
    pub(crate) largest_frame: u64,
}

// SAFETY: the kernel data that this points to is read-only after boot (__ro_after_init,
// arch/x86/kernel/fpu/core.c:31-45). `xfd_state` is a per-CPU variable.
unsafe impl Send for Kernel {}
// SAFETY: as for `Send`: nothing shared is ever written.
unsafe impl Sync for Kernel {}

/// Holds the [`Kernel`]. This is not the kernel crate's SetOnce, which calls a function to check
/// whether it is set: a first use reads this several times.
struct Found(UnsafeCell<MaybeUninit<Kernel>>);

// SAFETY: it is written once, before any other code of this module can run.
unsafe impl Sync for Found {}

static KERNEL: Found = Found(UnsafeCell::new(MaybeUninit::uninit()));

/// The running kernel's configuration. Any context, once the module has been loaded.
pub(crate) fn kernel() -> &'static Kernel {
    // SAFETY: `Kernel::find` initialises it before xfd_main.rs attaches anything that calls this.
    unsafe { (*KERNEL.0.get()).assume_init_ref() }
}

impl Kernel {
    /// Finds the configuration, and checks that this build computes the same layouts as the kernel.
    ///
    /// Errors: [`Refusal::NoSymbol`], [`Refusal::NoDynamicXfeature`], [`Refusal::OtherLayout`],
    /// [`Refusal::OtherTaskLayout`].
    pub(crate) fn find() -> Result<(), Refusal> {
        // SAFETY: the gates are bound. These only read CPU feature bits and a constant.
        let (compacts, largest_frame) =
            unsafe { (bindings::xfd_cpu_compacts(), calls::sigframe_size()) };
        let format = if compacts {
            Format::Compacted
        } else {
            Format::Standard
        };
        let layout = Layout::new(format, cpuid::component);

        // SAFETY: both symbols are a `struct fpu_state_config` (arch/x86/kernel/fpu/core.c:31),
        // which is never freed and does not change after boot.
        let (user, kernel) = unsafe {
            (
                &*(symbol!(fpu_user_cfg)? as *const bindings::fpu_state_config),
                &*(symbol!(fpu_kernel_cfg)? as *const bindings::fpu_state_config),
            )
        };
        // SAFETY: the symbol is a `struct vcpu_fpu_config` (arch/x86/kernel/fpu/core.c:41), which
        // is never freed and is constant after boot.
        let guest = unsafe { &*(symbol!(guest_default_cfg)? as *const bindings::vcpu_fpu_config) };
        if (Xfeatures::from_bits(user.max_features) & Xfeatures::USER_DYNAMIC).is_empty() {
            return Err(Refusal::NoDynamicXfeature);
        }
        for (features, size, format) in [
            (kernel.default_features, kernel.default_size, format),
            (kernel.max_features, kernel.max_size, format),
            (guest.features, guest.size, format),
            (user.default_features, user.default_size, Format::Standard),
            (user.max_features, user.max_size, Format::Standard),
        ] {
            let ours = layout.size(Xfeatures::from_bits(features), format);
            if ours != size {
                return Err(Refusal::OtherLayout { kernel: size, ours });
            }
        }
        if !is_plausible(kernel.default_size) {
            return Err(Refusal::OtherTaskLayout);
        }

        // The components of a task that is permitted everything. The kernel's own mask has more:
        // CET_S, for example, is in no task's mask (`XFEATURE_MASK_GUEST_SUPERVISOR`).
        let dynamic = Xfeatures::from_bits(user.max_features) & Xfeatures::USER_DYNAMIC;
        let [task, vcpu] = [kernel.default_features, guest.features]
            .map(|default| Xfeatures::from_bits(default) | dynamic);
        let user_supported = Xfeatures::from_bits(bindings::XFD_USER_SUPPORTED);
        let capacities = Capacities::new(layout, user_supported, [task, vcpu]);
        let found = Self {
            user,
            init_fpstate: symbol!(init_fpstate)? as *const kernel::bindings::fpstate,
            // SAFETY: it is DEFINE_PER_CPU(u64, xfd_state), arch/x86/kernel/fpu/core.c:35.
            xfd_state: unsafe { PerCpuU64::new(symbol!(xfd_state)?) },
            largest_capacity: capacities.with(task),
            capacities,
            largest_frame: largest_frame as u64,
        };
        // SAFETY: module initialisation runs once, and nobody reads it yet.
        unsafe { (*KERNEL.0.get()).write(found) };
        Ok(())
    }

    /// Size in bytes of the largest register image that user space can see.
    pub(crate) fn largest_user_size(&self) -> u32 {
        self.user.max_size
    }

    /// This machine's user components.
    pub(crate) fn user_xfeatures(&self) -> Xfeatures {
        Xfeatures::from_bits(self.user.max_features)
    }

    /// The fpstate in which every component is in its initial state.
    pub(crate) fn init_fpstate(&self) -> *const kernel::bindings::fpstate {
        self.init_fpstate
    }
}

/// Whether current's `struct fpu` looks as expected: the built-in fpstate has `default_size` bytes,
/// and either it or an enlarged one is in place.
fn is_plausible(default_size: u32) -> bool {
    let fpu = current_fpu();
    // SAFETY: even if the layout is different, this stays within current's allocation, because
    // every task_struct is followed by at least a struct fpu. The pointer that is read is not
    // dereferenced.
    unsafe {
        let in_place = (*fpu).fpstate;
        let known = core::ptr::eq(in_place, &raw const (*fpu).__fpstate)
            || bindings::is_vmalloc_addr(in_place.cast());
        known && (*fpu).__fpstate.size == default_size
    }
}
