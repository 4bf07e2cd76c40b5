// SPDX-License-Identifier: GPL-2.0
/*
 * Emits the trace events for Rust. The kernel crate's declare_trace! works only for events in the kernel's
 * own bindings.
 */
#include "../seam/task_fpu.h"
#include "trace.h"

#define CREATE_TRACE_POINTS
#include "xfd_trace.h"

bool xfd_trace_wanted(void)
{
	return trace_xfd_first_use_enabled();
}

void xfd_trace_first_use(const struct xfd_first_use *use)
{
	trace_xfd_first_use(use);
}

void xfd_trace_reclaimed(struct task_struct *task, u32 size)
{
	trace_xfd_reclaimed(task, buffer_memory(size));
}

void xfd_trace_regrown(struct task_struct *task, u32 size)
{
	trace_xfd_regrown(task, buffer_memory(size));
}

void xfd_trace_guest_grown(u64 xfeatures, u32 size_before, u32 size_after)
{
	trace_xfd_guest_grown(xfeatures, size_before, size_after);
}
