/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counts the tasks that may sleep in this module's code. Unloading waits for them (lifecycle.rs).
 */
#ifndef XFD_INSIDE_H
#define XFD_INSIDE_H

#include <linux/atomic.h>

#include "seam.h"

/* Wakes xfd_wait_for_inside(). Does not sleep. */
void xfd_wake_waiter(void);

#ifdef MODULE
static __always_inline void xfd_enter(void)
{
	atomic64_inc(&xfd_inside);
}

/* The count becomes zero only if somebody is waiting for that. */
static __always_inline void xfd_leave(void)
{
	if (unlikely(atomic64_dec_and_test(&xfd_inside)))
		xfd_wake_waiter();
}
#else
/* What is built in is not unloaded. */
static __always_inline void xfd_enter(void) { }
static __always_inline void xfd_leave(void) { }
#endif

#endif
