// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel side of faults.rs: module parameters that make operations fail and tasks wait
 * (CONFIG_XFD_FAULTS).
 */
#include <linux/atomic.h>
#include <linux/kstrtox.h>
#include <linux/moduleparam.h>
#include <linux/sysfs.h>
#include <linux/wait_bit.h>

#include "../seam/seam.h"

atomic64_t xfd_fail_allocations = ATOMIC64_INIT(0);
static atomic64_t xfd_hold = ATOMIC64_INIT(0);
static atomic64_t xfd_held = ATOMIC64_INIT(0);

int xfd_fail_step;
module_param_named(fail_step, xfd_fail_step, int, 0);
MODULE_PARM_DESC(fail_step, "step of loading that fails, 0 for none");

bool xfd_pretend_fred;
module_param_named(fred, xfd_pretend_fred, bool, 0);
MODULE_PARM_DESC(fred, "look for FRED's call of the #NM handler as on a CPU with FRED");

bool xfd_fail_detach;
module_param_named(fail_detach, xfd_fail_detach, bool, 0644);
MODULE_PARM_DESC(fail_detach, "nothing that is attached can be detached");

bool xfd_eager;
module_param_named(eager, xfd_eager, bool, 0444);
MODULE_PARM_DESC(eager, "scan tasks all the time, and reclaim a buffer at the second scan");

void xfd_wait_at(s64 point)
{
	if (atomic64_read(&xfd_hold) != point)
		return;
	atomic64_inc(&xfd_held);
	wait_var_event(&xfd_hold, atomic64_read(&xfd_hold) != point);
	atomic64_dec(&xfd_held);
}

static int number_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%lld\n", (s64)atomic64_read(param->arg));
}

static int number_set(const char *text, const struct kernel_param *param)
{
	s64 value;
	int error = kstrtos64(text, 0, &value);

	if (!error)
		atomic64_set(param->arg, value);
	return error;
}

/* Sets the point at which tasks wait; 0 for none. Tasks waiting at another point continue. */
static int hold_set(const char *text, const struct kernel_param *param)
{
	s64 point;
	int error = kstrtos64(text, 0, &point);

	if (error || point < 0 || point > XFD_POINT_OWED)
		return error ?: -EINVAL;
	atomic64_set(&xfd_hold, point);
	/* Store the new point before checking for waiters. */
	smp_mb();
	wake_up_var(&xfd_hold);
	return 0;
}

/* These are parameters rather than debugfs files so that they can be written while removal waits for held tasks. */
static const struct kernel_param_ops number_ops = { .set = number_set, .get = number_get };
static const struct kernel_param_ops hold_ops = { .set = hold_set, .get = number_get };
module_param_cb(fail_allocations, &number_ops, &xfd_fail_allocations, 0644);
MODULE_PARM_DESC(fail_allocations, "how many of the next buffer allocations fail");
module_param_cb(hold, &hold_ops, &xfd_hold, 0644);
MODULE_PARM_DESC(hold, "point at which tasks wait, 0 for none");
module_param_cb(held, &number_ops, &xfd_held, 0444);
MODULE_PARM_DESC(held, "number of tasks that wait now");
