// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the tasks that are in code of this module that may sleep, and waits for them.
 */
#include <linux/rcupdate.h>
#include <linux/swait.h>

#include "inside.h"

/* The number of those tasks, plus one while nobody is waiting for them */
atomic64_t xfd_inside = ATOMIC64_INIT(1);
bool xfd_waited_for;
/* Its lock must not sleep on PREEMPT_RT, because a task that has left is no longer counted. */
static DECLARE_SWAIT_QUEUE_HEAD(xfd_inside_wait);

void xfd_wake_waiter(void)
{
	swake_up_one(&xfd_inside_wait);
}

void xfd_enter_counted(void)
{
	xfd_enter();
}

void xfd_leave_counted(void)
{
	xfd_leave();
}

void xfd_wait_for_inside(void)
{
	WRITE_ONCE(xfd_waited_for, true);
	if (!atomic64_dec_and_test(&xfd_inside))
		swait_event_idle_exclusive(xfd_inside_wait, !atomic64_read(&xfd_inside));
	atomic64_inc(&xfd_inside);
	WRITE_ONCE(xfd_waited_for, false);
}

void xfd_synchronize_tasks(void)
{
	synchronize_rcu_tasks();
}
