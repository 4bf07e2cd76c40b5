/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a task stands: the kernel's own code says so (fpstate_pin()). Only tasks.c includes this.
 */
#ifndef XFD_PINS_H
#define XFD_PINS_H

/*
 * @task is held, so its pins do not change. It is also in none of these functions if it is about to
 * enter one: it does not run.
 */
static bool holds_no_fpstate(struct task_struct *task)
{
	return !fpu_of(task)->pins;
}

#endif
