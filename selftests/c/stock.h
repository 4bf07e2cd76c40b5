/* SPDX-License-Identifier: GPL-2.0 */
/* Stock kernel bugs that the module fixes. */
#ifndef XFD_TEST_STOCK_H
#define XFD_TEST_STOCK_H

#include "counters.h"

/* The runner sets XFD_MENDED=1 on a kernel with these patches. */
static inline bool kernel_is_mended(void)
{
	const char *set = getenv("XFD_MENDED");

	return set && !strcmp(set, "1");
}

static inline bool bugs_are_mended(void)
{
	return xfd_module() || kernel_is_mended();
}

/* Skips the test on a kernel with the bug, because the C code fails it or does not survive it. */
#define REQUIRE_MENDED(what)							\
	do {									\
		if (!bugs_are_mended())						\
			SKIP(return, "the stock kernel has this bug: it " what);	\
	} while (0)

#endif
