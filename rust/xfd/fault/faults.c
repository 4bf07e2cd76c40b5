// SPDX-License-Identifier: GPL-2.0
/*
 * What faults.rs needs of the kernel to make things fail and wait (CONFIG_XFD_FAULTS).
 */
#include <linux/atomic.h>
#include <linux/moduleparam.h>
#include <linux/wait_bit.h>

#include "../seam/seam.h"

atomic64_t xfd_fail_allocations = ATOMIC64_INIT(0);
atomic64_t xfd_hold = ATOMIC64_INIT(0);
atomic64_t xfd_held = ATOMIC64_INIT(0);

int xfd_fail_step;
module_param_named(fail_step, xfd_fail_step, int, 0);
MODULE_PARM_DESC(fail_step, "step of loading that fails, 0 for none");

bool xfd_fail_detach;
module_param_named(fail_detach, xfd_fail_detach, bool, 0644);
MODULE_PARM_DESC(fail_detach, "nothing that is attached can be detached");

bool xfd_eager;
module_param_named(eager, xfd_eager, bool, 0444);
MODULE_PARM_DESC(eager, "look at tasks all the time, and reclaim at the second look");

void xfd_wait_at(s64 point)
{
	if (atomic64_read(&xfd_hold) != point)
		return;
	atomic64_inc(&xfd_held);
	wait_var_event(&xfd_hold, atomic64_read(&xfd_hold) != point);
	atomic64_dec(&xfd_held);
}

void xfd_hold_at(s64 point)
{
	atomic64_set(&xfd_hold, point);
	/* The new point before the look at who waits. */
	smp_mb();
	wake_up_var(&xfd_hold);
}
