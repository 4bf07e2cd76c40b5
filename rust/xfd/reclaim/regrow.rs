// SPDX-License-Identifier: GPL-2.0
//! A task whose buffer was reclaimed gets an enlarged one again where tiles come from elsewhere
//! than an instruction of its own: from a signal frame of before, or from a tracer.
//!
//! Without it the kernel would drop them: to its code the task is one that never used tiles.

use crate::buffer::fpstate::{current_masks, masks_of, set_masks, FpstateBuffer};
use crate::permission::group_perm;
use crate::seam::bindings::fpu;
use crate::seam::kernel::kernel;
use crate::reclaim::shrink::copy_registers;
use crate::watch::stats::STATS;
use crate::xstate::buffer;
use crate::xstate::permission::Audience;
use crate::xstate::xfeature::Xfeatures;
use kernel::prelude::*;

/// Current is about to restore a signal frame, the XSTATE_BV of which is `in_frame`; its buffer
/// was reclaimed. Sleeps.
#[no_mangle]
extern "C" fn xfd_regrow_for_frame(in_frame: u64) {
    let used = Xfeatures::from_bits(in_frame) & Xfeatures::USER_DYNAMIC & current_masks().xfd;
    if used.is_empty() {
        return;
    }
    let permission = group_perm::get(Audience::Host);
    match FpstateBuffer::obtain(permission.kernel_size, permission.user_size) {
        Ok(buffer) => {
            buffer.install(used);
            STATS.regrown.count();
        }
        Err(_) => {
            STATS.failed_allocations.count();
            // SAFETY: raises a signal in current; task context.
            unsafe { kernel::bindings::force_sig(kernel::bindings::SIGSEGV as c_int) }
        }
    }
}

/// A tracer is about to write the registers of the task of `fpu`, which it keeps stopped, and
/// the buffer of which was reclaimed. Without memory its tiles are refused: EINVAL. Sleeps.
#[no_mangle]
extern "C" fn xfd_regrow_for_tracer(fpu: *mut fpu) {
    let kernel_size = kernel().largest_kernel_size;
    // SAFETY: the task is stopped, and the tracer keeps it so.
    let builtin = unsafe { &raw mut (*fpu).__fpstate };
    // SAFETY: as above.
    let user_size = unsafe { (*builtin).user_size };
    let Ok(new) = FpstateBuffer::obtain(kernel_size, user_size) else {
        STATS.failed_allocations.count();
        return;
    };
    let new = new.into_raw().as_ptr();
    // SAFETY: as above; `new` is nobody else's yet.
    unsafe {
        let masks = buffer::commit(masks_of(builtin), Xfeatures::USER_DYNAMIC);
        set_masks(new, masks);
        copy_registers(builtin, new);
        (*fpu).last_cpu = u32::MAX;
        (*fpu).fpstate = new;
    }
    STATS.regrown.count();
}
