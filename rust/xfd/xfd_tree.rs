// SPDX-License-Identifier: GPL-2.0
//! Dynamic extended state (XFD) in Rust, built into the kernel (CONFIG_X86_XFD_RUST).
//!
//! This is the root of the same code as that of the module (xfd_main.rs), with `tree` in the place of
//! its seam. The hooks in the C code call the functions that arch/x86/include/asm/fpu/xfd_rust.h
//! declares.

mod bindings;
mod buffer;
mod cpu;
#[path = "fault/faults_off.rs"]
#[expect(dead_code, reason = "the seam uses the rest")]
mod fault;
mod first_use;
mod guest;
#[cfg(CONFIG_KUNIT = "y")]
#[path = "tree/kunit.rs"]
mod kunit;
mod permission;
mod reclaim;
#[path = "tree/mod.rs"]
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
use guest::{enabling, xfd};
use kernel::prelude::*;
use kernel::sync::SetOnce;
use reclaim::pass;
use seam::kernel::Kernel;
use seam::refusal::Refusal;
use watch::files::{Files, Named, Number};

// Our functions have the types of those that they take the place of.
const _: bindings::xfd_fpu_flush_thread_t = Some(exec::xfd_fpu_flush_thread);
const _: bindings::xfd_fpu_enable_guest_xfd_features_t = Some(enabling::xfd_enable_guest_features);
const _: bindings::xfd_fpu_update_guest_xfd_t = Some(xfd::xfd_set_guest_xfd);

/// For messages in the kernel log.
const __LOG_PREFIX: &[u8] = b"xfd\0";

/// The values shown next to the counters: buffers in the pool, and threads whose buffer is
/// reclaimed.
static GAUGES: &[Named] = &[
    (c"pooled", Number::Gauge(pool::count)),
    (c"owed", Number::Gauge(pass::owed)),
];

/// What exists until the kernel stops.
static STARTED: SetOnce<(pool::Pool, Files)> = SetOnce::new();

/// Makes everything ready that the hooks and the background pass need. Returns whether it is. Called once, while the kernel boots.
#[no_mangle]
extern "C" fn xfd_start() -> bool {
    start().map_err(Refusal::report).is_ok()
}

fn start() -> Result<(), Refusal> {
    Kernel::find()?;
    let pool = pool::Pool::new().map_err(|_| Refusal::NoMemory)?;
    STARTED.populate((pool, Files::new(GAUGES)));
    pr_info!("first uses of dynamic xfeatures can be handled in Rust\n");
    Ok(())
}
