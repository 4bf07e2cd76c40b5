#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A process with one of the module's files open either keeps the module loaded or is not harmed when it is unloaded: a
# monitor that reads a counter, a shell whose working directory is the trace event's.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
EVENT=/sys/kernel/tracing/events/xfd

# hold FOLDERS: keeps each readable file in them open in a process, and the folder itself in use.
hold() {
	holders=
	for file in $(find $1 -type f -perm -400); do
		sleep 600 <"$file" 3>&- 4>&- &
		holders="$holders $!"
	done
	(cd $1 && exec sleep 600 3>&- 4>&-) &
	holders="$holders $!"
	set -- $holders
	[ $# -gt 1 ] || { echo "no file"; return 1; }
}

let_go() {
	kill $holders
	wait $holders
	true
} 2>/dev/null

# held_open FOLDER: a pattern, expanded while the module is loaded. With the files open, the module is disabled
# and unloading attempted; then the files are closed, and the module is unloaded if still there.
held_open() {
	load && hold "$1" && echo 0 >$PATCH/enabled && until_true 30 is_unpatched || return
	rmmod xfd 2>/dev/null
	let_go
	! is_loaded || rmmod xfd || return
	nothing_remains && no_splat
}

# Unloading is refused, and the counter can still be read.
is_refused_with_a_counter_open() {
	load && exec 5<$COUNTERS/first_uses && echo 0 >$PATCH/enabled && until_true 30 is_unpatched || return
	! rmmod xfd 2>"$WORK/refused" || { echo "removed"; return 1; }
	grep -q "temporarily unavailable\|in use" "$WORK/refused" || { cat "$WORK/refused"; return 1; }
	same first_uses 0 "$(cat <&5)" || return
	exec 5<&-
	rmmod xfd && nothing_remains
}

plan 6
check "a_counter_keeps_it" is_refused_with_a_counter_open
check "counters" held_open $COUNTERS
check "parameters_and_more" held_open /sys/module/xfd
check "livepatch" held_open $PATCH
check "trace_event" held_open $EVENT
if [ -d /sys/kernel/debug/shrinker ]; then
	check "shrinker" held_open "/sys/kernel/debug/shrinker/xfd-*"
else
	skip "shrinker" "the kernel lacks CONFIG_SHRINKER_DEBUG"
fi
finish
