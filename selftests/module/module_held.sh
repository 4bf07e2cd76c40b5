#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Tasks sleep in the handler (CONFIG_XFD_FAULTS): disabling does not wait for them, unloading does, and
# meanwhile the kernel serves everyone else. The same for threads on their way to regaining a reclaimed buffer.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

MODULE=${XFD_KO_FAULTS:-/lib/xfd_faults.ko}
# Before and after the allocation.
POINTS="1 3"

is_loaded && bail_out "the module is loaded: this test loads it itself"
[ -f "$MODULE" ] || skip_all "no $MODULE: the module with CONFIG_XFD_FAULTS"
"$HERE/amx_matmul" >/dev/null || skip_all "no AMX here"
baseline=$(fpstate_areas)

PARAMETERS=/sys/module/xfd/parameters
number_held() { cat $PARAMETERS/held; }
held() { [ "$(number_held)" = "$1" ]; }

# unload_waits POINT
unload_waits() {
	load || return
	hold=$PARAMETERS/hold
	echo "$1" >"$hold"
	amx_begin && until_true 30 held 3 || return
	caught=3
	echo 0 >$PATCH/enabled && until_true 30 is_unpatched && until_true 30 served_by_the_kernel || return
	same in_flight $caught "$(counter in_flight)" || return
	# It cannot finish before they do.
	rmmod xfd &
	removing=$!
	until_true 30 is_going && still_removing || return
	echo 0 >"$hold" || return
	wait $removing || return
	amx_is_ready
	amx_stop && nothing_remains
}

is_going() { grep -q '^xfd .* Unloading ' /proc/modules; }

# Once another process has run, unloading would have finished if it were not waiting.
still_removing() {
	"$HERE/amx_matmul" >/dev/null
	is_going && return
	echo "removal finished with tasks in the handler"
	return 1
}

# Makes a first use that does not wait. If it comes too early it is held like the others, and this fails.
served_by_the_kernel() {
	rm -f "$WORK/served"
	("$HERE/amx_load" --threads 1 </dev/null >/dev/null && touch "$WORK/served") &
	until [ -e "$WORK/served" ]; do
		held $caught || { caught=$(number_held); return 1; }
		usleep 2000
	done
}

said_right() { land 5 && grep -q "^right" "$WORK/says.5"; }
given_back() { [ "$(counter regrown)" = "$1" ]; }
owed() { same owed "$1" "$(counter owed)"; }

# The module gives the threads their buffers from outside while they are held on the way to getting them back.
given_on_the_way() {
	insmod "$MODULE" reclaim_ms=1 && until_true 30 is_settled || return
	XFD_MODULE=1 launch_until asleep 5 "$HERE/amx_owed" --threads 3 go-on && owed 3 || return
	echo 5 >$PARAMETERS/hold && echo >&5 && until_true 30 held 3 && owed 3 || return
	echo 0 >$PATCH/enabled && until_true 30 is_unpatched && until_true 30 given_back 3 || return
	echo 0 >$PARAMETERS/hold
	said_right && owed 0 && rmmod xfd && nothing_remains
}

plan 4
for point in $POINTS; do
	check "unload_waits_at_point_$point" unload_waits "$point"
done
check "given_on_the_way_to_it" given_on_the_way
check "no_fpstate_left" fpstate_areas_back_to "$baseline"
finish
