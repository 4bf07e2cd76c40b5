#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The life-cycle storm: XFD_ROUNDS rounds of loading, disabling, both reversed halfway, unloading and refused loads,
# while first uses, execs, signals, tracers and guests go on, KVM is loaded and unloaded, and livepatches and tracers
# use the same functions. The last third of the rounds avoids the execs in which the kernel's own code leaks buffers;
# after these rounds all memory is back.
. "$(dirname "$(readlink -f "$0")")/storm_lib.sh"

ROUNDS=${XFD_ROUNDS:-12}
SHARE=$XFD_SHARE
FAULTS=${XFD_KO_FAULTS:-/lib/xfd_faults.ko}
STEPS=12

exec 9>&1 # Bypasses check(), which captures output, so that a long run is not silent.
is_loaded && bail_out "the module is loaded: this test loads it itself"
for file in "$RIVAL" "$FAULTS"; do
	[ -f "$file" ] || skip_all "no $file"
done
kvm_modules || skip_all "no KVM"

# --- one round ----------------------------------------------------------------------------------

loads=0 refusals=0

# comes FILE ARGS...: loads it, or is refused because someone else has a function; then it must be gone.
comes() {
	if insmod "$@" 2>/dev/null; then
		loads=$((loads + 1))
		return 0
	fi
	refusals=$((refusals + 1))
	if is_loaded; then
		echo "refused, but still loaded"
	fi
	return 1
}
disabled() {
	[ ! -d $PATCH ] || [ "$(cat $PATCH/enabled)" = 0 ] || echo 0 >$PATCH/enabled
	is_unpatched
} 2>/dev/null
goes() {
	! is_loaded || { until_true 60 disabled && until_true 10 rmmod xfd; }
}
settled_or_gone() { is_settled || is_unpatched; }
settles() { until_true 60 settled_or_gone; }
# May fail while another livepatch is in transition.
turned() { echo "$1" >$PATCH/enabled; } 2>/dev/null
counts() { same repeated 0 "$(counter repeated)" && same failed_allocations 0 "$(counter failed_allocations)"; }

without_ftrace() {
	echo 0 >$FTRACE 2>/dev/null || return 0
	! insmod "$MODULE" 2>/dev/null
	outcome=$?
	echo 1 >$FTRACE
	return $outcome
}
fails_at() { ! insmod "$FAULTS" fail_step="$1" 2>/dev/null; }

round() {
	case $(($1 % 6)) in
	0) ! comes "$MODULE" || { settles && counts && goes; } ;;
	1) ! comes "$MODULE" || { turned 0; turned 1; settles; counts && goes; } ;;
	2) fails_at $(($1 / 6 % STEPS + 1)) ;;
	3) ! comes "$FAULTS" reclaim_ms=1 || { settles && usleep 100000 && counts && goes; } ;;
	4) alone without_ftrace ;;
	5) ! comes "$MODULE" reclaim_ms=1 pool=0 || { settles && counts && turned 0; turned 1; usleep 20000; goes; } ;;
	esac
}

rounds() {
	for nth in $(seq "$1" "$2"); do
		round "$nth" || { echo "round $nth"; goes; return 1; }
		! is_loaded || { echo "round $nth: still loaded"; goes; return 1; }
		[ $((nth % 10)) -ne 0 ] || echo "# $nth rounds, $loads loads, $refusals refused" >&9
	done
}

# --- what runs alongside --------------------------------------------------------------------------

# beside FIRST LAST OPTION: runs these rounds alongside everything else.
beside() {
	rm -f "$WORK/enough"
	share_begins && amx_start --light || return
	launch 5 "$HERE/amx_round" --until-line $3
	guests >"$WORK/guests" 2>&1 3>&- 4>&- 5>&- &
	with_guests=$!
	neighbours >"$WORK/neighbours" 3>&- 4>&- 5>&- &
	with_neighbours=$!
	share_ends && rounds "$1" "$2"
	outcome=$?
	touch "$WORK/enough"
	wait $with_guests || { outcome=1; cat "$WORK/guests"; }
	wait $with_neighbours || { outcome=1; cat "$WORK/neighbours"; }
	land 5 || outcome=1
	amx_stop || outcome=1
	tail -n 1 "$WORK/guests" "$WORK/neighbours" >&9
	return $outcome
}

some_loaded() { [ $loads -ge $((ROUNDS / 6)) ] || { echo "$loads loads in $ROUNDS rounds"; return 1; }; }
nobody_is_left() { nothing_remains && [ ! -d /sys/module/rival ] && same "hooks" "" "$(cat $TRACING/enabled_functions)"; }

SECOND=$((ROUNDS * 2 / 3))
plan 9
check "rounds_beside_everything" beside 1 $SECOND
check "nobody_is_left" nobody_is_left
until_true 5 fpstate_areas_stay
baseline=$(fpstate_areas)
check "rounds_without_lost_buffers" beside $((SECOND + 1)) "$ROUNDS" --small-exec
check "all_memory_is_back" fpstate_areas_back_to "$baseline"
check "nobody_is_left_at_the_end" nobody_is_left
check "some_were_loaded" some_loaded
check "no_splat" no_splat
check "the_module_serves" eval "load && module_serves && counts && same in_flight 0 \$(counter in_flight) && unload"
check "the_kernel_serves" kernel_serves
finish
