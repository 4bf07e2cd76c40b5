#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# With ftrace turned off (kernel.ftrace_enabled=0), which is possible up to Linux 7.2, loading is refused and leaves
# no trace; later loads work.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
TRACING=/sys/kernel/tracing
FTRACE=/proc/sys/kernel/ftrace_enabled
[ -w $FTRACE ] || skip_all "no $FTRACE"

refused() {
	log_mark
	echo 0 >$FTRACE && ! insmod "$MODULE" || return
	same "lines" 1 "$(log_of_module | grep '^xfd: not loaded: ' | uniq | wc -l)" && nothing_remains && return
	log_of_module
	return 1
}
says_ftrace() { log_of_module | grep -q "^xfd: not loaded: .*ftrace" || { log_of_module; return 1; }; }

# The function tracer, on one of the functions that the module hooks.
traces() {
	echo 1 >$FTRACE && echo fpu_flush_thread >$TRACING/set_ftrace_filter && echo function >$TRACING/current_tracer &&
		/bin/true && echo nop >$TRACING/current_tracer && echo >$TRACING/set_ftrace_filter
}
kprobes() {
	echo "p:xfd_selftest/probe fpu_xstate_prctl" >>$TRACING/kprobe_events &&
		echo 1 >$TRACING/events/xfd_selftest/probe/enable && echo 0 >$TRACING/events/xfd_selftest/probe/enable &&
		echo "-:xfd_selftest/probe" >>$TRACING/kprobe_events
}
loads_then() { load && module_serves; }

# The kernel refuses to turn ftrace off while a livepatch needs it.
stays_on() {
	! echo 0 >$FTRACE && same "$FTRACE" 1 "$(cat $FTRACE)" && module_serves
}

plan 7
if echo 0 2>/dev/null >$FTRACE; then
	check "refused" refused
	check "the_line_says_why" says_ftrace
else
	skip "refused" "this kernel's ftrace cannot be turned off"
	skip "the_line_says_why" "this kernel's ftrace cannot be turned off"
fi
check "tracers_work_then" traces
check "kprobes_too" kprobes
check "it_loads_then" loads_then
check "ftrace_stays_on_while_it_is_loaded" stays_on
check "unloads" eval "unload && nothing_remains && kernel_serves"
finish
