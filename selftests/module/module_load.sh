#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Loading, unloading, and again: who is in charge, what the log says, what is left behind.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

ROUNDS=2

LOAD_LOG="livepatch: enabling patch 'xfd'
xfd: first uses of dynamic xfeatures are handled here
livepatch: 'xfd': starting patching transition
livepatch: 'xfd': patching complete"

UNLOAD_LOG="livepatch: 'xfd': starting unpatching transition
xfd: first uses of dynamic xfeatures are handled by the kernel again
livepatch: 'xfd': unpatching complete"

plan 13
is_loaded && bail_out "the module is loaded: this test loads it itself"
baseline=$(fpstate_areas)

log_is() {
	same "kernel log" "$1" "$(log_of_module)"
}

starts_at_zero() {
	for name in first_uses denied failed_allocations ordinary_nm in_flight repeated; do
		same $name 0 "$(counter $name)" || return
	done
}

refuses_a_second() {
	insmod "$MODULE" && return 1
	is_loaded && is_settled
}

# While it is enabled its reference keeps it.
refuses_rmmod() {
	rmmod xfd && return 1
	is_loaded && same enabled 1 "$(cat $PATCH/enabled)"
}

again() {
	for round in $(seq $ROUNDS); do
		echo "round $round"
		load && XFD_MODULE=1 "$HERE/xcomp_api" && unload && nothing_remains || return
		XFD_MODULE='' "$HERE/xcomp_api" || return
	done
}

check "the_kernel_serves_first" kernel_serves
log_mark
check "load" load
check "load_log" log_is "$LOAD_LOG"
check "counters_start_at_zero" starts_at_zero
check "the_module_serves" module_serves
check "a_second_load_is_refused" refuses_a_second
check "rmmod_while_enabled_is_refused" refuses_rmmod
log_mark
check "unload" unload
check "unload_log" log_is "$UNLOAD_LOG"
check "nothing_remains" nothing_remains
check "the_kernel_serves_again" kernel_serves
check "again_and_again" again
check "no_fpstate_left" fpstate_areas_back_to "$baseline"
finish
