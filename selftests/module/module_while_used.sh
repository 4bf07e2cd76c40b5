#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Loading and unloading while programs use tiles continuously and new threads come and go: every
# product and every tile stays correct, and each buffer is freed by the code in charge at the time.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

# Rounds of loading and unloading: while one program runs, and while everything runs.
ROUNDS=2
ROUNDS_BESIDE_ALL=${XFD_ROUNDS:-1}
# The kernel's own exec leaks 12 KiB each time. Without a limit, 250 rounds would take 700 MB.
SHARE=$XFD_SHARE

plan 8
exec 9>&1 # Bypasses check(), which captures output, so that a long run is not silent.
is_loaded && bail_out "the module is loaded: this test loads it itself"
baseline=$(fpstate_areas)

# load_and_unload ROUNDS
load_and_unload() {
	for round in $(seq "$1"); do
		[ $((round % 10)) -ne 0 ] || echo "# $round rounds" >&9
		load || return
		uses_before=$(counter first_uses)
		until_true 10 served_since "$uses_before" || return
		unload || return
	done
}

# New threads of the background program have been served since the counter was $1.
served_since() { [ "$(counter first_uses)" -gt "$1" ]; }

started_before_loading() {
	amx_start --light && load_and_unload $ROUNDS
	outcome=$?
	amx_stop && return $outcome
}

# Forks, execs, signals and threads, checked each time. The kernel's own exec leaks buffers, so they are not
# counted here.
everything() {
	while :; do
		for program in xcomp_inherit xfd_sigframe "xfd_exec_storm 5"; do
			[ ! -e "$WORK/enough" ] || return 0
			usleep 5000 # leave some CPU time to the others
			"$HERE"/$program >"$WORK/program" 2>&1 && continue
			echo "$program failed:"
			cat "$WORK/program"
			return 1
		done
	done
}

under_everything() {
	share_begins || return
	XFD_MODULE='' everything >"$WORK/everything" &
	churn=$!
	amx_start --light && share_ends && load_and_unload $ROUNDS_BESIDE_ALL
	outcome=$?
	touch "$WORK/enough"
	wait $churn || { cat "$WORK/everything"; outcome=1; }
	amx_stop && return $outcome
}

started_while_loaded() {
	load && amx_start && unload
	outcome=$?
	amx_stop && return $outcome
}

# The threads' buffers come from the module, and are freed after it is gone.
outlives_the_module() {
	load && amx_start && unload && XFD_MODULE='' "$HERE/xfd_first_use" >"$WORK/first_use" 2>&1
	outcome=$?
	[ $outcome -eq 0 ] || cat "$WORK/first_use"
	amx_stop && return $outcome
}

check "loads_and_unloads_under_a_running_program" started_before_loading
check "nothing_left_by_it" fpstate_areas_back_to "$baseline"
check "unloads_under_a_program_it_served" started_while_loaded
check "nothing_left_by_that" fpstate_areas_back_to "$baseline"
check "buffers_outlive_the_module" outlives_the_module
check "nothing_left_at_the_end" fpstate_areas_back_to "$baseline"
check "loads_and_unloads_while_everything_runs" under_everything
check "the_kernel_serves_at_the_end" kernel_serves
finish
