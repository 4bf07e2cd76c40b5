// SPDX-License-Identifier: GPL-2.0
//! exit: an exiting task's enlarged buffer goes to the pool immediately.
//!
//! The kernel's own code keeps it until the last reference to the task is gone, one RCU grace
//! period after the task was reaped (`arch_release_task_struct()`, arch/x86/kernel/process.c:118).
//! Here the next thread can have it right away, a zombie does not hold one, and context switches
//! during exit do not save registers that nobody will need.

use super::enlarged;

/// Called by a user task that is exiting and will not return to user mode. Must not sleep, except
/// for a spinlock on PREEMPT_RT.
#[no_mangle]
extern "C" fn xfd_before_exit() {
    enlarged::discard_current();
}
