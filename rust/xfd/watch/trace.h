/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Emits the trace events (xfd_trace.h). Any context except NMI.
 */
#ifndef XFD_TRACE_CALL_H
#define XFD_TRACE_CALL_H

#include <linux/types.h>

struct task_struct;

/* A first use, step by step. Sizes are the register image's, in bytes. */
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

/* @task lost its buffer, or got one back. @size is the size of the register image in bytes. */
void xfd_trace_reclaimed(struct task_struct *task, u32 size);
void xfd_trace_regrown(struct task_struct *task, u32 size);
/* A vCPU's buffer got space for @xfeatures. Sizes are the register image's, in bytes. */
void xfd_trace_guest_grown(u64 xfeatures, u32 size_before, u32 size_after);

#endif
