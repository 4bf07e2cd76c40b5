/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The trace events (Documentation/ABI/tracing-xfd): the five steps of an #NM as they happened, and buffers
 * that are reclaimed, given back or enlarged outside an #NM. Each names its thread: what the tracer itself notes of
 * names (saved_cmdlines) misses many threads that end within a millisecond of their first use.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM xfd

#if !defined(XFD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define XFD_TRACE_H

#include <linux/sched.h>
#include <linux/tracepoint.h>

#include "trace.h"

TRACE_EVENT(xfd_first_use,

	TP_PROTO(const struct xfd_first_use *use),

	TP_ARGS(use),

	TP_STRUCT__entry(
		__field(u64, xfd_err)
		__field(u64, xfd_err_after)
		__field(u64, permitted)
		__field(u32, size_before)
		__field(u32, size_after)
		__field(u64, xfd_before)
		__field(u64, xfd_after)
		__field(u32, verdict)
		__field(u64, tsc)
		__field(pid_t, tid)
		__field(pid_t, tgid)
		__array(char, comm, TASK_COMM_LEN)
	),

	TP_fast_assign(
		__entry->xfd_err = use->xfd_err;
		__entry->xfd_err_after = use->xfd_err_after;
		__entry->permitted = use->permitted;
		__entry->size_before = use->size_before;
		__entry->size_after = use->size_after;
		__entry->xfd_before = use->xfd_before;
		__entry->xfd_after = use->xfd_after;
		__entry->verdict = use->verdict;
		__entry->tsc = use->tsc;
		__entry->tid = current->pid;
		__entry->tgid = current->tgid;
		memcpy(__entry->comm, current->comm, TASK_COMM_LEN);
	),

	TP_printk("xfd_err=%#llx xfd_err_after=%#llx permitted=%#llx size_before=%u size_after=%u xfd_before=%#llx xfd_after=%#llx verdict=%s tsc=%llu tid=%d tgid=%d comm=%s",
		  __entry->xfd_err, __entry->xfd_err_after, __entry->permitted,
		  __entry->size_before, __entry->size_after,
		  __entry->xfd_before, __entry->xfd_after,
		  __print_symbolic(__entry->verdict,
				   { 0, "resume" }, { 1, "sigill" }, { 2, "sigsegv" }),
		  __entry->tsc, __entry->tid, __entry->tgid, __entry->comm)
);

DECLARE_EVENT_CLASS(xfd_buffer,

	TP_PROTO(struct task_struct *task, size_t bytes),

	TP_ARGS(task, bytes),

	TP_STRUCT__entry(
		__field(pid_t, tid)
		__field(pid_t, tgid)
		__array(char, comm, TASK_COMM_LEN)
		__field(u64, bytes)
	),

	TP_fast_assign(
		__entry->tid = task->pid;
		__entry->tgid = task->tgid;
		memcpy(__entry->comm, task->comm, TASK_COMM_LEN);
		__entry->bytes = bytes;
	),

	TP_printk("tid=%d tgid=%d bytes=%llu comm=%s", __entry->tid, __entry->tgid, __entry->bytes, __entry->comm)
);

DEFINE_EVENT(xfd_buffer, xfd_reclaimed, TP_PROTO(struct task_struct *task, size_t bytes), TP_ARGS(task, bytes));
DEFINE_EVENT(xfd_buffer, xfd_regrown, TP_PROTO(struct task_struct *task, size_t bytes), TP_ARGS(task, bytes));

TRACE_EVENT(xfd_guest_grown,

	TP_PROTO(u64 xfeatures, u32 size_before, u32 size_after),

	TP_ARGS(xfeatures, size_before, size_after),

	TP_STRUCT__entry(
		__field(u64, xfeatures)
		__field(u32, size_before)
		__field(u32, size_after)
		__field(pid_t, tid)
		__field(pid_t, tgid)
		__array(char, comm, TASK_COMM_LEN)
	),

	TP_fast_assign(
		__entry->xfeatures = xfeatures;
		__entry->size_before = size_before;
		__entry->size_after = size_after;
		__entry->tid = current->pid;
		__entry->tgid = current->tgid;
		memcpy(__entry->comm, current->comm, TASK_COMM_LEN);
	),

	TP_printk("xfeatures=%#llx size_before=%u size_after=%u tid=%d tgid=%d comm=%s",
		  __entry->xfeatures, __entry->size_before, __entry->size_after,
		  __entry->tid, __entry->tgid, __entry->comm)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE xfd_trace
#include <trace/define_trace.h>
