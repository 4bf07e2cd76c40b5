/* SPDX-License-Identifier: GPL-2.0 */
/* Bugs that the stock kernel has and the module has not. */
#ifndef XFD_TEST_STOCK_H
#define XFD_TEST_STOCK_H

#include "counters.h"

/* Without the module the test is not run: the C code fails it, or does not survive. */
#define REQUIRE_MENDED(what)							\
	do {									\
		if (!xfd_module())						\
			SKIP(return, "the stock kernel has this bug: it " what);	\
	} while (0)

#endif
