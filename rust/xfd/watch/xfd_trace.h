/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace event xfd:xfd_first_use: the five steps of one #NM, as they happened.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM xfd

#if !defined(XFD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define XFD_TRACE_H

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
	),

	TP_printk("xfd_err=%#llx xfd_err_after=%#llx permitted=%#llx size_before=%u size_after=%u xfd_before=%#llx xfd_after=%#llx verdict=%s tsc=%llu",
		  __entry->xfd_err, __entry->xfd_err_after, __entry->permitted,
		  __entry->size_before, __entry->size_after,
		  __entry->xfd_before, __entry->xfd_after,
		  __print_symbolic(__entry->verdict,
				   { 0, "resume" }, { 1, "sigill" }, { 2, "sigsegv" }),
		  __entry->tsc)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE xfd_trace
#include <trace/define_trace.h>
