/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tasks whose buffers were reclaimed, and that are owed one (owed.c).
 */
#ifndef XFD_OWED_H
#define XFD_OWED_H

#include <linux/task_work.h>
#include <linux/types.h>

enum xfd_owed_state {
	XFD_LISTED,	/* the task's work takes it off the list, and frees it */
	XFD_CLAIMED,	/* on no list: somebody gives the task its buffer from outside, and frees it */
	XFD_DONE,	/* the work ran meanwhile, and does not look at it any more */
	XFD_DETACHED,	/* whatever the task runs frees it, and does nothing else */
};

struct xfd_owed {
	struct callback_head work;
	struct task_struct *task;
	struct list_head list;
	enum xfd_owed_state state;
};

/* For a task to come. NULL without memory. Sleeps. */
struct xfd_owed *xfd_owed_alloc(void);
/*
 * Before @task, which is held where it is, is in user mode again, it gets a buffer. False, and nothing
 * is changed, if it is about to exit. Interrupts off.
 */
bool xfd_owed_add(struct xfd_owed *owed, struct task_struct *task);
/* Whether @task, which is held (pi_lock), is still to get one; false with hundreds of other works before that. */
bool xfd_is_owed(struct task_struct *task);

#endif
