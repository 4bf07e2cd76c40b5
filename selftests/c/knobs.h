/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Making the module's allocations fail and its handler wait: parameters that
 * only a build with CONFIG_XFD_FAULTS has (rust/xfd/fault/faults.rs says what the knobs mean).
 */
#ifndef XFD_TEST_KNOBS_H
#define XFD_TEST_KNOBS_H

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "counters.h"

#define REQUIRE_KNOBS()								\
	do {									\
		if (access(XFD_PARAMETERS "hold", W_OK))			\
			SKIP(return, "no " XFD_PARAMETERS "hold: xfd.ko without CONFIG_XFD_FAULTS"); \
	} while (0)

/* How many tasks wait in the handler; it is theirs to come and go, so there is nothing to wait on. */
static inline void wait_until_held(long tasks)
{
	while (parameter("held") != tasks)
		sched_yield();
}

#endif
