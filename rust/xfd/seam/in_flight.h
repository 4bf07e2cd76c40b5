/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counting the tasks that may sleep in this module's code: unloading waits for them (entry.c).
 */
#ifndef XFD_IN_FLIGHT_H
#define XFD_IN_FLIGHT_H

#include <linux/atomic.h>
#include <linux/wait_bit.h>

#include "seam.h"

/* Somebody waits in xfd_wait_for_handlers() */
extern bool xfd_draining;

static __always_inline void xfd_enter(void)
{
	atomic64_inc(&xfd_in_flight);
}

static __always_inline void xfd_leave(void)
{
	if (atomic64_dec_and_test(&xfd_in_flight) && unlikely(READ_ONCE(xfd_draining)))
		wake_up_var(&xfd_in_flight);
}

#endif
