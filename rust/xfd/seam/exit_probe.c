// SPDX-License-Identifier: GPL-2.0
/*
 * Calls xfd_before_exit() when a task exits. It uses the sched_process_exit tracepoint, which do_exit()
 * reaches after the last stop for a tracer and after a core dump, but before the task releases its
 * resources.
 */
#include <linux/sched.h>
#include <linux/tracepoint.h>

#include "seam.h"

/* Rust: buffer/exit.rs */
void xfd_before_exit(void);

static void probe(void *data, struct task_struct *task, bool group_dead)
{
	/* Kernel threads and I/O workers have no user registers. */
	if (!(task->flags & (PF_KTHREAD | PF_USER_WORKER)))
		xfd_before_exit();
}

int xfd_exit_watch(void *tracepoint)
{
	return tracepoint_probe_register(tracepoint, probe, NULL);
}

int xfd_exit_unwatch(void *tracepoint)
{
	return tracepoint_probe_unregister(tracepoint, probe, NULL);
}

void xfd_exit_synchronize(void)
{
	/* The probe may still be running somewhere. */
	tracepoint_synchronize_unregister();
}
