#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Other modules that patch the kernel: ours takes no function away from them, and if they take a function
# from ours, unloading still gives #NM back to the kernel.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

RIVAL=${RIVAL_KO:-/lib/rival.ko}
RIVAL_PATCH=/sys/kernel/livepatch/rival

is_loaded && bail_out "the module is loaded: this test loads it itself"
[ -f "$RIVAL" ] || skip_all "no $RIVAL"

rival_settled() { [ "$(cat $RIVAL_PATCH/transition 2>/dev/null)" = 0 ]; }
rival_gone() { [ ! -d $RIVAL_PATCH ]; }

rival_livepatch() { insmod "$RIVAL" how="$1" && until_true 30 rival_settled; }
rival_livepatch_away() { echo 0 >$RIVAL_PATCH/enabled && until_true 30 rival_gone && rmmod rival; }

# refused ERRNO LINE: insmod fails with ERRNO, and the module's last line in the log is LINE.
refused() {
	if error=$(insmod "$MODULE" 2>&1); then
		unload
		echo "insmod did not fail"
		return 1
	fi
	same errno "$1" "${error##*: }" || return
	same "kernel log" "$2" "$(log_of_module | grep '^xfd: not loaded' | uniq)"
}

livepatch_in_the_way() {
	rival_livepatch livepatch || return
	log_mark
	refused "Device or resource busy" \
		"xfd: not loaded: another livepatch replaces fpu_xstate_prctl, which this one would undo; disable it first (/sys/kernel/livepatch)"
	outcome=$?
	rival_livepatch_away && nothing_remains && return $outcome
}

# The livepatch core notices only after our callback has redirected #NM.
tracer_in_the_way() {
	insmod "$RIVAL" how=ftrace || return
	log_mark
	refused "Device or resource busy" \
		"xfd: not loaded: livepatch refused (errno 16); the lines above say why"
	outcome=$?
	rmmod rival && nothing_remains && return $outcome
}

# A cumulative livepatch disables all others and calls none of their callbacks.
replaced() {
	load && rival_livepatch cumulative || return
	until_true 30 is_unpatched && rmmod xfd && nothing_remains && kernel_serves
	outcome=$?
	rival_livepatch_away && return $outcome
}

loads_beside_it() {
	rival_livepatch cumulative || return
	load && module_serves && unload
	outcome=$?
	rival_livepatch_away && return $outcome
}

plan 5
check "refuses_to_undo_a_livepatch" livepatch_in_the_way
check "refused_when_a_function_is_traced_exclusively" tracer_in_the_way
check "gives_back_what_a_cumulative_livepatch_took" replaced
check "loads_beside_another_livepatch" loads_beside_it
check "the_kernel_serves" kernel_serves
finish
