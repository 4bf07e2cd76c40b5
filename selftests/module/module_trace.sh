#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The trace event shows the five steps of every #NM as they were taken, read back from the MSRs.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

TRACING=/sys/kernel/tracing
EVENT=$TRACING/events/xfd/xfd_first_use

plan 8
is_loaded || bail_out "the module is not loaded"
first_uses=$(counter first_uses)
denied=$(counter denied)
echo >$TRACING/trace
echo 1 >$EVENT/enable
"$HERE/xfd_first_use" >/dev/null
echo 0 >$EVENT/enable
grep ' xfd_first_use: ' $TRACING/trace >"$WORK/events"

# The number of events that have all the fields $*, each as "name=value ".
events_with() {
	cp "$WORK/events" "$WORK/left"
	for field in "$@"; do
		grep " $field " "$WORK/left" >"$WORK/fewer"
		mv "$WORK/fewer" "$WORK/left"
	done
	wc -l <"$WORK/left"
}

# all_have FIELD...: there are events, and all have these fields.
all=$(events_with)
all_have() {
	[ "$all" -gt 0 ] || return
	same "events with $*" "$all" "$(events_with "$@")" && return
	cat "$WORK/events"
	return 1
}

check "one_event_each" same "events" \
	$(($(counter first_uses) - first_uses + $(counter denied) - denied)) "$all"
check "xfd_err_was_set" all_have xfd_err=0x40000
check "xfd_err_is_cleared" all_have xfd_err_after=0x0
check "armed_before" all_have xfd_before=0x40000

served=$(events_with verdict=resume)
check "served_is_permitted_and_disarmed" same "of $served served" "$served" \
	"$(events_with verdict=resume size_before=2560 size_after=10752 xfd_after=0x0)"
# A request adds bit 18 to the mask, and leaves CET_U (11) in it.
check "served_keeps_supervisor_components" same "of $served served" "$served" \
	"$(events_with verdict=resume permitted=0x60ae7)"
refused=$(events_with verdict=sigill)
check "refused_is_left_as_it_was" same "of $refused refused" "$refused" \
	"$(events_with verdict=sigill size_before=2560 size_after=2560 xfd_after=0x40000)"

# Removing its probe must not clear the user's trace.
marker_stays() {
	echo "marker of $$" >$TRACING/trace_marker
	XFD_MODULE=1 "$HERE/amx_matmul" || return
	grep -q "marker of $$" $TRACING/trace && [ -z "$(ls $TRACING/instances)" ] && ! grep xfd_selftest $TRACING/kprobe_events
}
check "amx_matmul_leaves_the_trace" marker_stays
finish
