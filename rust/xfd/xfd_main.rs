// SPDX-License-Identifier: GPL-2.0
//! Dynamic extended state (XFD) in Rust: the first use of AMX tiles, and the permission for it.
//!
//! [`Xfd::load`] checks everything that can make loading fail before it changes anything. The last
//! step enables the livepatch, which puts the module in charge of everything at once. Disabling the
//! livepatch (/sys/kernel/livepatch/xfd/enabled) gives everything back to the kernel. Only then can
//! the module be removed, because until then the livepatch core holds a reference to it.
//!
//! Each folder imports only from those that precede it in this list:
//!
//! - `bindings`: the kernel's types and functions;
//! - `xstate` decides, `cpu` has the processor's instructions, `seam` reaches into the kernel;
//! - `fault` injects faults for the tests, `watch` counts and traces;
//! - `permission` and `buffer` keep the state of processes and tasks;
//! - `first_use`, `reclaim`, `guest` and `kernel_tiles` act on it;
//! - `procfs` shows it.

mod bindings;
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
mod procfs;
mod reclaim;
mod seam;
mod watch;
#[path = "../xstate/mod.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "on the host this is a crate of its own"
)]
mod xstate;

use buffer::{exec, pool};
use fault::Step;
use guest::{enabling, xfd};
use kernel::prelude::*;
use kernel::sync::atomic::{Atomic, Relaxed};
use procfs::Folder;
use reclaim::{give_back, pass};
use seam::kernel::Kernel;
use seam::lifecycle::{self, nothing_to_finish, Lifecycle, Part};
use seam::livepatch::{self, Replaced};
use seam::refusal::Refusal;
use seam::{call_site, direct, exit_probe, holders, resume_callback, symbols};
use watch::files::{Files, Named, Number};

module! {
    type: Xfd,
    name: "xfd",
    authors: ["The xfd authors"],
    description: "Dynamic extended state (XFD, AMX) in Rust",
    license: "GPL",
}

/// Everything attached to the kernel besides the livepatch, in the order of attaching.
static LIFECYCLE: Lifecycle<6> = Lifecycle::new([
    Part {
        name: c"the probe at exit",
        attach: exit_probe::watch,
        detach: exit_probe::unwatch,
        finish: exit_probe::synchronize,
    },
    Part {
        name: c"the direct call of fpu_xstate_prctl",
        attach: direct::attach,
        detach: direct::detach,
        finish: nothing_to_finish,
    },
    Part {
        name: c"the callback at resume",
        attach: resume_callback::watch,
        detach: resume_callback::unwatch,
        finish: nothing_to_finish,
    },
    Part {
        name: c"the call of the #NM handler",
        attach: call_site::redirect_idt,
        detach: call_site::restore_idt,
        finish: nothing_to_finish,
    },
    Part {
        name: c"the call of the #NM handler under FRED",
        attach: call_site::redirect_fred,
        detach: call_site::restore_fred,
        finish: nothing_to_finish,
    },
    Part {
        name: c"the background pass",
        attach: give_back::begin,
        detach: give_back::end,
        finish: give_back::give_back,
    },
]);

/// The values shown alongside the counters: buffers in the pool, tasks in this module's code,
/// threads whose buffer is reclaimed, and the time at which the module took over. A test build adds
/// the number of nonzero bytes in the pool's buffers.
static GAUGES: &[Named] = &[
    (c"pooled", Number::Gauge(pool::count)),
    (c"in_flight", Number::Gauge(lifecycle::inside)),
    (c"owed", Number::Gauge(pass::owed)),
    (c"in_charge_since_ms", Number::Gauge(in_charge_since)),
    #[cfg(CONFIG_XFD_FAULTS)]
    (c"dirty", Number::Gauge(pool::dirty_bytes)),
];

/// The time at which the module took over, in milliseconds of CLOCK_BOOTTIME, or 0 if it is not in
/// charge.
static IN_CHARGE_SINCE: Atomic<i64> = Atomic::new(0);

fn in_charge_since() -> i64 {
    IN_CHARGE_SINCE.load(Relaxed)
}

struct Xfd {
    _folder: Folder,
    _files: Files,
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
        exit_probe::locate()?;
        holders::locate()?;
        check_hooks()?;
        fault::load_step(Step::Pool)?;
        let pool = pool::Pool::new().map_err(|_| Refusal::NoMemory)?;
        fault::load_step(Step::Livepatch)?;
        match livepatch::enable(module, &replaced(), (before_patching, after_unpatching)) {
            // If a part is stuck, the module must stay, so loading succeeds although it failed.
            Err(refusal) if !LIFECYCLE.is_stuck() => {
                tear_down();
                Err(refusal)
            }
            _ => Ok(Self {
                _folder: Folder::new(&GAUGES),
                _files: Files::new(GAUGES),
                _pool: pool,
            }),
        }
    }
}

impl Drop for Xfd {
    fn drop(&mut self) {
        tear_down();
    }
}

/// Detaches what is attached, and waits until no task is in the module. Process context; may sleep.
fn tear_down() {
    // Parts are still attached if the livepatch failed or was disabled halfway, or if somebody
    // else's cumulative livepatch has replaced ours without calling our callbacks
    // (Documentation/livepatch/cumulative-patches.rst).
    //
    // At this point removal can no longer be refused, and freed text must not be called. So with
    // `rmmod -f`, or with a part that cannot be detached, removal waits here. The livepatch core's
    // reference is the last to be dropped.
    // SAFETY: this only reads the state of this module, which is not freed before `tear_down`
    // returns.
    while unsafe { bindings::xfd_is_force_removed() } || !LIFECYCLE.detach() {
        kernel::pr_err_once!("removal waits: the livepatch holds the module (/sys/kernel/livepatch/xfd/enabled), or a part cannot be detached\n");
        kernel::time::delay::fsleep(kernel::time::Delta::from_secs(1));
    }
    // SAFETY: this is process context with no lock held, so it may sleep.
    unsafe { bindings::xfd_finish_flush() };
    LIFECYCLE.finish();
}

// The replaced kernel functions and ours have the same types.
const _: bindings::xfd_fpu_flush_thread_t = Some(exec::xfd_fpu_flush_thread);
const _: bindings::xfd_fpu_enable_guest_xfd_features_t = Some(enabling::xfd_enable_guest_features);
const _: bindings::xfd_fpu_update_guest_xfd_t = Some(xfd::xfd_set_guest_xfd);

/// The functions that the livepatch replaces.
fn replaced() -> [Replaced; 3] {
    [
        Replaced {
            symbol: c"fpu_flush_thread",
            ours: exec::xfd_fpu_flush_thread as *const (),
            optional: false,
        },
        // A kernel without CONFIG_KVM lacks this one and the next.
        Replaced {
            symbol: c"fpu_enable_guest_xfd_features",
            ours: enabling::xfd_enable_guest_features as *const (),
            optional: true,
        },
        Replaced {
            symbol: c"fpu_update_guest_xfd",
            ours: xfd::xfd_set_guest_xfd as *const (),
            optional: true,
        },
    ]
}

/// Fails if a function to be hooked is missing, inlined, or already replaced by somebody else.
fn check_hooks() -> Result<(), Refusal> {
    livepatch::ftrace_is_on()?;
    livepatch::not_replaced(direct::FUNCTION)?;
    livepatch::is_called(
        direct::FUNCTION,
        &[
            c"__x64_sys_arch_prctl",
            c"__do_sys_arch_prctl",
            c"__se_sys_arch_prctl",
            c"do_arch_prctl_common",
            c"do_arch_prctl_64",
        ],
    )?;
    livepatch::is_called(c"fpu_flush_thread", &[c"flush_thread", c"begin_new_exec"])
}

/// The livepatch's pre-patch callback. Runs under klp_mutex.
extern "C" fn before_patching(_: *mut bindings::klp_object) -> c_int {
    if let Err(refusal) = LIFECYCLE.attach() {
        return refusal.report().to_errno();
    }
    // SAFETY: this reads a clock, which is allowed in any context.
    IN_CHARGE_SINCE.store(unsafe { bindings::xfd_boottime_ms() } as i64, Relaxed);
    pr_info!("first uses of dynamic xfeatures are handled here\n");
    0
}

/// The livepatch's post-unpatch callback: no task is in a replaced function any more. Runs under
/// klp_mutex, so it does not wait for anybody.
extern "C" fn after_unpatching(_: *mut bindings::klp_object) {
    if !LIFECYCLE.detach() {
        return;
    }
    IN_CHARGE_SINCE.store(0, Relaxed);
    pr_info!("first uses of dynamic xfeatures are handled by the kernel again\n");
    // SAFETY: this queues a work item of this module, which `tear_down` flushes before the module
    // is removed.
    unsafe { bindings::xfd_finish_queue() }
}

/// Waits until no task is in the module, and gives every task its buffer back. Runs in a worker.
#[no_mangle]
extern "C" fn xfd_finish() {
    LIFECYCLE.finish();
}

/// Fails if this CPU lacks what the module needs, or if the kernel does not use it.
fn supported() -> Result<(), Refusal> {
    // SAFETY: these only read CPU feature bits.
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
