/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counting the tasks that may sleep in this module's code: unloading waits for them (entry.c).
 */
#ifndef XFD_IN_FLIGHT_H
#define XFD_IN_FLIGHT_H

#include <linux/atomic.h>

#include "seam.h"

/* Wakes xfd_wait_for_handlers(); @result is passed through. */
long xfd_last_one_left(long result);

static __always_inline void xfd_enter(void)
{
	atomic64_inc(&xfd_in_flight);
}

/* Returns @result. The count is zero only when somebody waits for that. */
static __always_inline long xfd_leave(long result)
{
	if (unlikely(atomic64_dec_and_test(&xfd_in_flight)))
		return xfd_last_one_left(result);
	return result;
}

#endif
