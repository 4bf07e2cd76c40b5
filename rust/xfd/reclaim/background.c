// SPDX-License-Identifier: GPL-2.0
/*
 * The background pass, once an interval while the module is in charge.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#include "../seam/seam.h"

/* Rust: reclaim.rs */
void xfd_background_pass(u64 now, unsigned int interval);

static unsigned int xfd_reclaim_ms = 10000;
static bool xfd_background_on;
static DEFINE_MUTEX(xfd_background_mutex);

#ifndef CONFIG_XFD_FAULTS
#define xfd_eager false
#endif

static void pass(struct work_struct *work);
static DECLARE_DELAYED_WORK(xfd_background, pass);

static void schedule_next(void)
{
	unsigned int interval = READ_ONCE(xfd_reclaim_ms);

	if (interval)
		queue_delayed_work(system_dfl_wq, &xfd_background, xfd_eager ? 0 : msecs_to_jiffies(interval));
}

static void pass(struct work_struct *work)
{
	unsigned int interval = READ_ONCE(xfd_reclaim_ms);

	if (interval)
		xfd_background_pass(ktime_to_ms(ktime_get()), xfd_eager ? 0 : interval);
	/* A livepatch waits for a worker that never sleeps. */
	if (xfd_eager)
		usleep_range(50, 100);
	schedule_next();
}

static void stop(void)
{
	cancel_delayed_work_sync(&xfd_background);
}

void xfd_background_start(void)
{
	mutex_lock(&xfd_background_mutex);
	xfd_background_on = true;
	schedule_next();
	mutex_unlock(&xfd_background_mutex);
}

void xfd_background_stop(void)
{
	mutex_lock(&xfd_background_mutex);
	xfd_background_on = false;
	stop();
	mutex_unlock(&xfd_background_mutex);
}

static int set_interval(const char *value, const struct kernel_param *param)
{
	int error;

	mutex_lock(&xfd_background_mutex);
	error = param_set_uint(value, param);
	if (!error && xfd_background_on) {
		stop();
		schedule_next();
	}
	mutex_unlock(&xfd_background_mutex);
	return error;
}

static const struct kernel_param_ops interval_ops = {
	.set = set_interval,
	.get = param_get_uint,
};
module_param_cb(reclaim_ms, &interval_ops, &xfd_reclaim_ms, 0644);
MODULE_PARM_DESC(reclaim_ms, "milliseconds after which a task with no live tiles gives its enlarged register buffer back; 0 for never (10000)");
