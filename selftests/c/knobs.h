/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes the module's allocations fail and its handler wait, through parameters that exist only with
 * CONFIG_XFD_FAULTS (rust/xfd/fault/faults.rs documents the knobs).
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

/* Waits until @tasks tasks wait in the handler. A parameter cannot be polled, so this loops and yields. */
static inline void wait_until_held(long tasks)
{
	while (parameter("held") != tasks)
		sched_yield();
}

#endif
