// SPDX-License-Identifier: GPL-2.0
/*
 * What faults.rs needs of the kernel to make things fail and wait (CONFIG_XFD_FAULTS).
 */
#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/moduleparam.h>
#include <linux/wait_bit.h>

#include "../seam/seam.h"

atomic64_t xfd_fail_allocations = ATOMIC64_INIT(0);
static atomic64_t xfd_hold = ATOMIC64_INIT(0);
static atomic64_t xfd_held = ATOMIC64_INIT(0);

int xfd_fail_step;
module_param_named(fail_step, xfd_fail_step, int, 0);
MODULE_PARM_DESC(fail_step, "step of loading that fails, 0 for none");

bool xfd_as_with_fred;
module_param_named(fred, xfd_as_with_fred, bool, 0);
MODULE_PARM_DESC(fred, "look for FRED's call of the handler as on a CPU with FRED");

bool xfd_fail_detach;
module_param_named(fail_detach, xfd_fail_detach, bool, 0644);
MODULE_PARM_DESC(fail_detach, "nothing that is attached can be detached");

bool xfd_eager;
module_param_named(eager, xfd_eager, bool, 0444);
MODULE_PARM_DESC(eager, "look at tasks all the time, and reclaim at the second look");

/* The last of faults.rs's points. */
#define XFD_LAST_POINT 4

void xfd_wait_at(s64 point)
{
	if (atomic64_read(&xfd_hold) != point)
		return;
	atomic64_inc(&xfd_held);
	wait_var_event(&xfd_hold, atomic64_read(&xfd_hold) != point);
	atomic64_dec(&xfd_held);
}

/* Makes @point, or with 0 none, the one to wait at; others go on. */
static int hold_set(void *unused, u64 point)
{
	if (point > XFD_LAST_POINT)
		return -EINVAL;
	atomic64_set(&xfd_hold, point);
	/* The new point before the look at who waits. */
	smp_mb();
	wake_up_var(&xfd_hold);
	return 0;
}

static int number_get(void *number, u64 *value)
{
	*value = atomic64_read(number);
	return 0;
}

static int number_set(void *number, u64 value)
{
	atomic64_set(number, value);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(number_fops, number_get, NULL, "%lld\n");
DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(settable_fops, number_get, number_set, "%lld\n");
DEFINE_DEBUGFS_ATTRIBUTE_SIGNED(hold_fops, number_get, hold_set, "%lld\n");

void xfd_fault_files(struct dentry *parent)
{
	struct dentry *dir = debugfs_create_dir("faults", parent);

	debugfs_create_file_unsafe("fail_allocations", 0600, dir, &xfd_fail_allocations, &settable_fops);
	debugfs_create_file_unsafe("hold", 0600, dir, &xfd_hold, &hold_fops);
	debugfs_create_file_unsafe("held", 0400, dir, &xfd_held, &number_fops);
}
