#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The pool: buffers are kept, wiped and reused, within limits, and are freed when memory is short.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

PARAMETERS=/sys/module/xfd/parameters

is_loaded || skip_all "no module"
[ -r $COUNTERS/dirty ] || skip_all "no $COUNTERS/dirty: xfd.ko without CONFIG_XFD_FAULTS"
cpus=$(grep -c ^processor /proc/cpuinfo)
limit=$(cat $PARAMETERS/pool)

pooled_is() { same pooled "$1" "$(pooled)"; }
pooled_at_most() { [ "$(pooled)" -le "$1" ]; }
drop_buffers() { echo 2 >/proc/sys/vm/drop_caches; }

# Three threads that exit with live tiles.
use_tiles() { amx_start && amx_stop; }
killed_with_tiles() { amx_start && kill -KILL "$amx_pid" && ! amx_stop >/dev/null 2>&1; }

kept_and_used_again() {
	use_tiles && kept=$(pooled) || return
	[ "$kept" -ge 3 ] || { echo "three threads exited, but only $kept buffers are kept"; return 1; }
	recycled=$(counter recycled) uses=$(counter first_uses)
	use_tiles || return
	recycled=$(($(counter recycled) - recycled)) uses=$(($(counter first_uses) - uses))
	[ $recycled -ge 3 ] || { echo "only $recycled of $uses first uses got a recycled buffer"; return 1; }
	# More concurrent threads than before need more buffers.
	same "additional buffers" $((uses - recycled)) $(($(pooled) - kept))
}

clean() {
	use_tiles && killed_with_tiles && "$HERE/xfd_exec_storm" 5 || return
	until_true 5 fpstate_areas_stay || return
	[ "$(pooled)" -ge 3 ] || { echo "only $(pooled) buffers are kept"; return 1; }
	same "bytes left by tasks" 0 "$(counter dirty)"
}

goes_under_pressure() {
	[ "$(pooled)" -ge 1 ] || { echo "no buffer is kept"; return 1; }
	before=$(fpstate_areas)
	drop_buffers && pooled_is 0 && same "areas in use" "$before" "$(fpstate_areas)"
}

# trimmed INTERVAL SECONDS: freed after the next pass, except for one in each per-CPU cache.
trimmed() {
	use_tiles || return
	interval=$(cat $PARAMETERS/reclaim_ms)
	echo "$1" >$PARAMETERS/reclaim_ms
	until_true "$2" pooled_at_most "$cpus"
	outcome=$?
	echo "$interval" >$PARAMETERS/reclaim_ms
	[ $outcome -eq 0 ] || echo "$(pooled) buffers are kept"
	return $outcome
}

bounded() {
	drop_buffers
	echo "$1" >$PARAMETERS/pool
	use_tiles && pooled_at_most $(($1 * cpus))
	outcome=$?
	echo "$limit" >$PARAMETERS/pool
	[ $outcome -eq 0 ] || echo "$(pooled) buffers are kept"
	return $outcome
}

refuses_nonsense() {
	for parameter in pool reclaim_ms; do
		for value in -1 x ""; do
			echo "$value" >$PARAMETERS/$parameter && echo "$parameter took '$value'" && return 1
		done
	done 2>/dev/null
	same pool "$limit" "$(cat $PARAMETERS/pool)"
}

plan 8
check "kept_and_used_again" kept_and_used_again
check "nothing_of_a_task_is_left_in_them" clean
check "goes_under_pressure" goes_under_pressure
check "trimmed_when_not_needed" trimmed 1 5
check "trimmed_without_reclaim" trimmed 0 30
check "bounded_by_the_parameter" bounded 1
check "none_kept_if_so_wanted" bounded 0
check "refuses_nonsense" refuses_nonsense
finish
