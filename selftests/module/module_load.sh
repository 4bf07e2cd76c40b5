#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Loading, unloading, and both again: which code is in charge, what the log says, what is left behind.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

ROUNDS=2

LOAD_LOG="livepatch: enabling patch 'xfd'
xfd: first uses of dynamic xfeatures are handled here
livepatch: 'xfd': starting patching transition
livepatch: 'xfd': patching complete"

UNLOAD_LOG="livepatch: 'xfd': starting unpatching transition
xfd: first uses of dynamic xfeatures are handled by the kernel again
livepatch: 'xfd': unpatching complete"

plan 14
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

# While enabled, its own reference pins it.
refuses_rmmod() {
	rmmod xfd && return 1
	is_loaded && same enabled 1 "$(cat $PATCH/enabled)"
}

# A reader with a /proc/xfd file open keeps the module loaded and can go on reading, with the C code in charge.
held_by_a_reader() {
	load || return
	for file in counters tasks; do
		exec 3</proc/xfd/$file
		read -r first <&3
		if [ $file = counters ]; then
			echo 0 >$PATCH/enabled && until_true 30 is_unpatched || return
			same "in charge since" 0 "$(sed -n 's/^in_charge_since_ms //p' /proc/xfd/counters)" || return
		fi
		rmmod xfd && echo "removed while $file was open" && return 1
		cat <&3 >/dev/null || return
		exec 3<&-
	done
	rmmod xfd && nothing_remains
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
check "a_reader_holds_it" held_by_a_reader
check "again_and_again" again
check "no_fpstate_left" fpstate_areas_back_to "$baseline"
finish
