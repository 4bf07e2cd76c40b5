#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` on a machine where all is well: it says so, and why programs die nevertheless.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
DOCTOR="$HERE/xfdctl doctor"
DIES=$HERE/amx_dies

# says STATUS PATTERN ARGS...: it exits so, and has a line like this; it is shown if not.
says() {
	status=$1 pattern=$2
	shift 2
	$DOCTOR "$@" >"$WORK/doctor" 2>&1
	seen=$?
	grep -q -e "$pattern" "$WORK/doctor" && same "exit status" "$status" "$seen" && return
	echo "no such line: $pattern"
	cat "$WORK/doctor"
	return 1
}

all_is_well() {
	for about in processor palettes XFD XCR0 kernel permission "first use" guests memory; do
		says 0 "^ok *$about " || return
	done
	! grep -e ^WRONG -e ^unknown "$WORK/doctor"
}
json() {
	says 0 '^{"about":"XCR0","state":"ok","what":".*tiles are switched on"}$' --json &&
		same "lines that are objects" "$(grep -c . "$WORK/doctor")" "$(grep -c '^{.*}$' "$WORK/doctor")"
}

# dies HOW PATTERN
dies() { says 1 "^WRONG *program .*$2" -- "$DIES" "$1"; }
ends_well() { says 0 "^ok *program .* asked for tiles and got them" -- "$DIES" not; }
wrong_use() {
	says 3 "cannot run /no/such/program" -- /no/such/program && says 2 "unexpected argument" no-such-argument
}

# Whoever outlives the program goes on untraced, also if it was made at the last moment.
none_left() { ! pgrep -f "sleep 0.37" >/dev/null; }
lets_go() {
	for i in 1 2 3 4 5 6 7 8 9 10; do
		says 0 "^ok *program .* ended by itself" -- sh -c "sleep 0.37 & exit 0" || return
	done
	until_true 30 none_left
}

module_is() { says 0 "^$1 *module .*$2"; }
loaded() { load && module_is ok "handles first uses"; }
is_disabled() { [ ! -d $PATCH ]; }
disabled() { echo 0 >$PATCH/enabled && until_true 30 is_disabled && module_is note "disabled"; }
removed() { rmmod xfd && module_is note "own code serves"; }

caught() { says 1 "^WRONG *program .*ended with status 7 after SIGILL.*never asked" -- "$DIES" caught; }
falls_back() { says 0 "^note *program .* was refused tiles: .*EPERM" -- "$DIES" falls-back; }
killed_by_the_filter() { dies killed-by-filter "died of SIGSYS: a seccomp filter kills whoever asks"; }
# Signals beyond those with names, and a stop by job control that is one.
others() {
	says 1 "^WRONG *program .*died of signal 34: not by AMX" -- sh -c 'kill -34 $$; sleep 600' &&
		says 0 "^ok *program " -- sh -c 'sh -c "kill -STOP \$\$; exit 0" & usleep 300000; grep -qi "^State:.t" /proc/$!/status || exit 9; kill -CONT $!; wait $!'
}

plan 22
check "all_is_well" all_is_well
check "as_json" json
check "ends_well" ends_well
check "never_asked" dies no-permission "thread [0-9]* (amx_dies), died of SIGILL at 0x[0-9a-f]*, tilezero tmm0: .*never asked"
check "in_a_thread" dies in-a-thread "(worker), died of SIGILL.*never asked"
check "for_guests_alone" dies for-guests "for its guests alone"
check "asked_before_exec" dies executed "before it executed"
check "small_stack" dies small-stack "stack of thread [0-9]* has 8192 bytes"
check "seccomp" dies filtered "EPERM.*it has a seccomp filter"
check "seccomp_and_it_ends" dies filtered-and-ends "ended by itself (1), and was refused tiles"
check "not_configured" dies not-configured "no tiles are configured"
check "no_palette" dies no-palette "ldtilecfg .*: the CPU has no such palette"
check "not_by_amx" dies null-pointer "SIGSEGV at 0x[0-9a-f]*, mov r.*: not by AMX"
check "wrong_use" wrong_use
check "caught" caught
check "refused_and_falls_back" falls_back
check "killed_by_the_filter" killed_by_the_filter
check "other_signals_and_stops" others
check "lets_go_of_who_remains" lets_go
check "module_loaded" loaded
check "module_disabled" disabled
check "module_removed" removed
finish
