// SPDX-License-Identifier: GPL-2.0
/*
 * A work item that waits until nobody is inside the module. Whoever disables the module holds klp_mutex
 * and must not wait.
 */
#include <linux/workqueue.h>

#include "seam.h"

/* Rust: xfd_main.rs */
void xfd_finish(void);

static void finish(struct work_struct *work)
{
	xfd_finish();
}

static DECLARE_WORK(xfd_finish_work, finish);

void xfd_finish_queue(void)
{
	queue_work(system_dfl_wq, &xfd_finish_work);
}

void xfd_finish_flush(void)
{
	flush_work(&xfd_finish_work);
}
