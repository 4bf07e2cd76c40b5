/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Rust sees of the trace event (xfd_trace.h).
 */
#ifndef XFD_TRACE_CALL_H
#define XFD_TRACE_CALL_H

#include <linux/types.h>

/* One first use, step by step. Sizes are bytes of the register image. */
struct xfd_first_use {
	u64 xfd_err;
	u64 xfd_err_after;
	u64 permitted;
	u64 xfd_before;
	u64 xfd_after;
	u64 tsc;
	u32 size_before;
	u32 size_after;
	u32 verdict;
};

bool xfd_trace_wanted(void);
void xfd_trace_first_use(const struct xfd_first_use *use);

#endif
