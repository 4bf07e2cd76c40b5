/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tasks whose buffer was reclaimed and that must get one back (owed.c).
 */
#ifndef XFD_OWED_H
#define XFD_OWED_H

#include <linux/task_work.h>
#include <linux/types.h>

enum xfd_owed_state {
	XFD_LISTED,	/* on the list: the work removes the entry and frees it */
	XFD_CLAIMED,	/* on no list: whoever claimed it gives the task a buffer from outside and frees it */
	XFD_DONE,	/* claimed; the work has since run and no longer accesses it */
	XFD_DETACHED,	/* the task frees it and does nothing else with it */
};

struct xfd_owed {
	struct callback_head work;
	struct task_struct *task;
	struct list_head list;
	enum xfd_owed_state state;
};

/* Allocates an entry. NULL if there is no memory. May sleep. */
struct xfd_owed *xfd_owed_alloc(void);
/*
 * Makes @task, which is held, get a buffer before it returns to user mode. Returns false, with nothing
 * changed, if it is about to exit. Interrupts are off.
 */
bool xfd_owed_add(struct xfd_owed *owed, struct task_struct *task);
/* Returns whether @task, which is held (pi_lock), is still owed one. False if hundreds of works come first. */
bool xfd_is_owed(struct task_struct *task);

#endif
