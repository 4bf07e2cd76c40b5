// SPDX-License-Identifier: GPL-2.0
/*
 * Emits the trace event for Rust: declare_trace! of the kernel crate serves only events that are
 * in the kernel's own bindings.
 */
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
