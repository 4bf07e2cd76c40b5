// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting for who is inside, in a worker of the kernel's: whoever disables the module holds
 * klp_mutex, and must not wait.
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
