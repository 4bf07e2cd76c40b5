/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A walk over all tasks, in short RCU sections.
 */
#ifndef XFD_WALK_H
#define XFD_WALK_H

#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched/task.h>

/*
 * Returns the first task at or after the number *@nr in @ns for which @wanted returns true, with a
 * reference, and sets *@nr to its number. Returns NULL after 64 others, so that the caller can reschedule.
 * Sets *@nr to 0 if there are no more tasks. @wanted is called in the RCU section in which the task was
 * found alive.
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
