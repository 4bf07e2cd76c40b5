// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the background pass once per interval while the module is in charge. Without reclaim, it only trims
 * the pool.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#include "../seam/seam.h"

/* Rust: pass.rs */
void xfd_background_pass(u64 now, unsigned int interval, const bool *stop);
void xfd_background_trim(void);

#define DEFAULT_MS 10000

static unsigned int xfd_reclaim_ms = DEFAULT_MS;
/* Protects both of these. A pass does not take it. */
static DEFINE_MUTEX(xfd_background_mutex);
static bool xfd_background_on;
/* Makes a running pass end early. */
static bool xfd_background_stopping;

#ifndef CONFIG_XFD_FAULTS
#define xfd_eager false
#endif

static void pass(struct work_struct *work);
static DECLARE_DELAYED_WORK(xfd_background, pass);

static unsigned long delay(unsigned int interval)
{
	return xfd_eager ? 0 : msecs_to_jiffies(interval ?: DEFAULT_MS);
}

static void pass(struct work_struct *work)
{
	unsigned int interval = READ_ONCE(xfd_reclaim_ms);

	if (READ_ONCE(xfd_background_stopping))
		return;
	if (interval)
		xfd_background_pass(ktime_to_ms(ktime_get()), xfd_eager ? 0 : interval, &xfd_background_stopping);
	else
		xfd_background_trim();
	/* Sleep, because a livepatch would wait for a worker that never does. */
	if (xfd_eager)
		usleep_range(50, 100);
	if (!READ_ONCE(xfd_background_stopping))
		queue_delayed_work(system_dfl_wq, &xfd_background, delay(interval));
}

void xfd_background_start(void)
{
	mutex_lock(&xfd_background_mutex);
	xfd_background_on = true;
	WRITE_ONCE(xfd_background_stopping, false);
	queue_delayed_work(system_dfl_wq, &xfd_background, delay(xfd_reclaim_ms));
	mutex_unlock(&xfd_background_mutex);
}

void xfd_background_stop(void)
{
	mutex_lock(&xfd_background_mutex);
	xfd_background_on = false;
	WRITE_ONCE(xfd_background_stopping, true);
	cancel_delayed_work(&xfd_background);
	mutex_unlock(&xfd_background_mutex);
}

void xfd_background_synchronize(void)
{
	cancel_delayed_work_sync(&xfd_background);
}

void xfd_background_run(void)
{
	mutex_lock(&xfd_background_mutex);
	if (xfd_background_on)
		mod_delayed_work(system_dfl_wq, &xfd_background, 0);
	mutex_unlock(&xfd_background_mutex);
}

static int set_interval(const char *value, const struct kernel_param *param)
{
	int error;

	mutex_lock(&xfd_background_mutex);
	error = param_set_uint(value, param);
	/* This does not wait for a running pass. The next one uses the new interval. */
	if (!error && xfd_background_on)
		mod_delayed_work(system_dfl_wq, &xfd_background, delay(xfd_reclaim_ms));
	mutex_unlock(&xfd_background_mutex);
	return error;
}

static const struct kernel_param_ops interval_ops = {
	.set = set_interval,
	.get = param_get_uint,
};
module_param_cb(reclaim_ms, &interval_ops, &xfd_reclaim_ms, 0644);
MODULE_PARM_DESC(reclaim_ms, "milliseconds that a task without live tiles has to sleep before its enlarged register buffer is reclaimed; 0 for never (default 10000)");
