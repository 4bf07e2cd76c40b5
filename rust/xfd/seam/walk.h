/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A walk over all tasks that is interrupted now and then, so that no RCU section is long.
 */
#ifndef XFD_WALK_H
#define XFD_WALK_H

#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>

/*
 * The first task that is @wanted, from the number *@nr in @ns on, which it becomes; with a reference. NULL when so
 * many others were looked at that it is somebody else's turn, or, with *@nr 0, when there are no more. @wanted is
 * called in the RCU section in which its task was found among the living.
 */
static __always_inline struct task_struct *xfd_next_task(int *nr, struct pid_namespace *ns,
							 bool (*wanted)(struct task_struct *task))
{
	guard(rcu)();
	for (int scanned = 0; scanned < 64; scanned++, ++*nr) {
		struct pid *pid = find_ge_pid(*nr, ns);
		struct task_struct *task;

		if (!pid) {
			*nr = 0;
			break;
		}
		*nr = pid_nr_ns(pid, ns);
		task = pid_task(pid, PIDTYPE_PID);
		if (task && wanted(task))
			return get_task_struct(task);
	}
	return NULL;
}

#endif
