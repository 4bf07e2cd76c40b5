/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What others see of the trace events (xfd_trace.h). Any context but NMI.
 */
#ifndef XFD_TRACE_CALL_H
#define XFD_TRACE_CALL_H

#include <linux/types.h>

struct task_struct;

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

/* @task lost its buffer, or has one again, the register image of which is @size bytes. */
void xfd_trace_reclaimed(struct task_struct *task, u32 size);
void xfd_trace_regrown(struct task_struct *task, u32 size);
/* A vCPU's buffer has room for @xfeatures now; bytes of the register image. */
void xfd_trace_guest_grown(u64 xfeatures, u32 size_before, u32 size_after);

#endif
