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

static DECLARE_WORK(xfd_closing, finish);

void xfd_finish_soon(void)
{
	queue_work(system_dfl_wq, &xfd_closing);
}

void xfd_finish_synchronize(void)
{
	flush_work(&xfd_closing);
}
