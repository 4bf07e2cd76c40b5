#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Enlarged fpstates are freed with their tasks, however those end: none is left in /proc/vmallocinfo.
# Runs with the module (XFD_MODULE=1) and without it, where the kernel itself leaks some at exec unless that is mended (XFD_MENDED=1).
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

EXECS=1000

plan 4
until_true 5 fpstate_areas_stay || bail_out "the number of fpstate areas does not settle"
baseline=$(fpstate_areas)

# A thread that waits for others with its tiles released may lose its buffer in the meantime.
three_more() { [ "$(fpstate_areas)" -ge $((baseline + 3)) ]; }
seen_while_used() {
	amx_start || return
	until_true 2 three_more
	outcome=$?
	[ $outcome -eq 0 ] || echo "three threads use tiles, and there are $(fpstate_areas) areas; before there were $baseline"
	amx_stop && return $outcome
}
check "live_fpstates_are_seen" seen_while_used
check "none_left_by_threads" fpstate_areas_back_to "$baseline"

killed() {
	for signal in KILL ABRT TERM; do
		amx_start || return
		kill -$signal "$amx_pid"
		amx_stop >/dev/null 2>&1 && echo "it survived SIG$signal" && return 1
	done
	fpstate_areas_back_to "$baseline"
}
check "none_left_by_killed_programs" killed

# Counted by their callers, the C code, the module, and the same code built into the kernel, because other areas of that size come and go.
fpstates() { echo $(($(grep -cE " __?xfd_enable_feature|\[xfd\]|Area8allocate|xfd_zalloc_nofail" /proc/vmallocinfo) - $(pooled))); }
at_most_fpstates() { [ "$(fpstates)" -le "$1" ]; }
exec_storm() {
	"$HERE/xfd_exec_storm" $EXECS && fpstate_areas_back_to "$baseline" &&
		until_true 2 at_most_fpstates "$fpstates"
}
fpstates=$(fpstates)
if [ "$XFD_MODULE" = 1 ] || [ "$XFD_MENDED" = 1 ]; then
	check "none_left_by_exec" exec_storm
else
	"$HERE/xfd_exec_storm" $EXECS
	skip "none_left_by_exec" "the C code leaks them"
fi
echo "# answer exec.areas_left_of_$EXECS $(($(fpstates) - fpstates))"
finish
