/* SPDX-License-Identifier: GPL-2.0 */
/* Stock kernel bugs that the module fixes. */
#ifndef XFD_TEST_STOCK_H
#define XFD_TEST_STOCK_H

#include "counters.h"

/* Skips the test without the module: the C code fails or does not survive it. */
#define REQUIRE_MENDED(what)							\
	do {									\
		if (!xfd_module())						\
			SKIP(return, "the stock kernel has this bug: it " what);	\
	} while (0)

#endif
