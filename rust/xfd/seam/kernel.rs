// SPDX-License-Identifier: GPL-2.0
//! The running kernel's extended-state configuration, found once at load time.

use super::refusal::Refusal;
use super::symbols::find;
use crate::bindings;
use crate::cpu::{cpuid, current::current_fpu, percpu::PerCpuU64};
use crate::xstate::capacity::{Capacities, Capacity};
use crate::xstate::facility;
use crate::xstate::layout::{Format, Layout};
use crate::xstate::xfeature::{self, Xfeatures};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use kernel::prelude::*;

// The table of facilities is that of the kernel which this is built for: Documentation/facilities.rst.
const _: () = {
    assert!(bindings::XFD_USER_DYNAMIC == facility::DYNAMIC.bits());
    assert!(bindings::xfeature_XFEATURE_MAX as u64 == xfeature::XFEATURE_MAX);
};

/// What the kernel keeps about extended state, by its own symbols.
pub(crate) struct Kernel {
    /// `fpu_user_cfg`.
    user: &'static bindings::fpu_state_config,
    /// `init_fpstate`, the initial state of every component.
    init_fpstate: *const kernel::bindings::fpstate,
    /// `xfd_state`: what was last written to each CPU's IA32_XFD.
    pub(crate) xfd_state: PerCpuU64,
    /// What takes how much room in a buffer.
    pub(crate) capacities: Capacities,
    /// Room for all that a task can be permitted.
    pub(crate) largest_capacity: Capacity,
    /// Bytes of the machine's largest signal frame.
    pub(crate) largest_frame: u64,
}

// SAFETY: the kernel's data behind the references is read-only after boot (__ro_after_init,
// arch/x86/kernel/fpu/core.c:31-45); `xfd_state` is per CPU.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

/// Not the kernel crate's SetOnce, which asks in a function of its own whether it is set: a first
/// use reads this several times.
struct Found(UnsafeCell<MaybeUninit<Kernel>>);

// SAFETY: written once, before anybody else can reach this module's code.
unsafe impl Sync for Found {}

static KERNEL: Found = Found(UnsafeCell::new(MaybeUninit::uninit()));

/// The running kernel's configuration.
pub(crate) fn kernel() -> &'static Kernel {
    // SAFETY: `Kernel::find` fills it before xfd_main makes anything call in here.
    unsafe { (*KERNEL.0.get()).assume_init_ref() }
}

impl Kernel {
    /// Finds it, and checks that this build's idea of the layouts is the kernel's.
    pub(crate) fn find() -> Result<(), Refusal> {
        // SAFETY: gates are bound; these read CPU feature bits and a constant.
        let (compacts, largest_frame) = unsafe {
            (
                bindings::xfd_cpu_compacts(),
                bindings::xfd_gate_sigframe_size(),
            )
        };
        let format = if compacts {
            Format::Compacted
        } else {
            Format::Standard
        };
        let layout = Layout::new(format, cpuid::component);

        // SAFETY: both symbols are `struct fpu_state_config` (arch/x86/kernel/fpu/core.c:31),
        // never freed and constant after boot.
        let (user, kernel) = unsafe {
            (
                &*(find(c"fpu_user_cfg")? as *const bindings::fpu_state_config),
                &*(find(c"fpu_kernel_cfg")? as *const bindings::fpu_state_config),
            )
        };
        // SAFETY: `struct vcpu_fpu_config` (arch/x86/kernel/fpu/core.c:41), likewise.
        let guest = unsafe { &*(find(c"guest_default_cfg")? as *const bindings::vcpu_fpu_config) };
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

        // What a task has room for once everything is permitted: CET_S, say, is in the kernel's
        // mask and in that of no task (`XFEATURE_MASK_GUEST_SUPERVISOR`).
        let dynamic = Xfeatures::from_bits(user.max_features) & Xfeatures::USER_DYNAMIC;
        let [task, vcpu] = [kernel.default_features, guest.features]
            .map(|default| Xfeatures::from_bits(default) | dynamic);
        let user_supported = Xfeatures::from_bits(bindings::XFD_USER_SUPPORTED);
        let capacities = Capacities::new(layout, user_supported, [task, vcpu]);
        let found = Self {
            user,
            init_fpstate: find(c"init_fpstate")? as *const kernel::bindings::fpstate,
            // SAFETY: DEFINE_PER_CPU(u64, xfd_state), arch/x86/kernel/fpu/core.c:35.
            xfd_state: unsafe { PerCpuU64::new(find(c"xfd_state")?) },
            largest_capacity: capacities.with(task),
            capacities,
            largest_frame: largest_frame as u64,
        };
        // SAFETY: module initialisation runs once, and nobody reads it yet.
        unsafe { (*KERNEL.0.get()).write(found) };
        Ok(())
    }

    /// Bytes of the largest user-visible register image.
    pub(crate) fn largest_user_size(&self) -> u32 {
        self.user.max_size
    }

    /// User components of this machine.
    pub(crate) fn user_xfeatures(&self) -> Xfeatures {
        Xfeatures::from_bits(self.user.max_features)
    }

    /// The fpstate with every component in its initial state.
    pub(crate) fn init_fpstate(&self) -> *const kernel::bindings::fpstate {
        self.init_fpstate
    }
}

/// Whether current's `struct fpu` looks as it must: a built-in fpstate of `default_size` bytes, and that or
/// an enlarged one in place.
fn is_plausible(default_size: u32) -> bool {
    let fpu = current_fpu();
    // SAFETY: even if the layout is another, this is within current's allocation: every
    // task_struct is followed by at least a struct fpu. The address is not followed.
    unsafe {
        let in_place = (*fpu).fpstate;
        let known = core::ptr::eq(in_place, &raw const (*fpu).__fpstate)
            || bindings::is_vmalloc_addr(in_place.cast());
        known && (*fpu).__fpstate.size == default_size
    }
}
