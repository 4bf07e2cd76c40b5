#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# packaging/xfd-module, called by `load` and `unload` in `machine shell`: what it says about the module and about
# whoever holds it.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
export XFD_PATIENCE=1

loads() { "$HERE/load" >"$WORK/out" 2>&1 && grep -q "^xfd: loaded: " "$WORK/out" && is_settled; }
unloads() { "$HERE/unload" >"$WORK/out" 2>&1 && grep -q "^xfd: unloaded: " "$WORK/out" && nothing_remains; }

# refuses PATTERN: unloading fails, with one line that says who holds it, and the module goes on serving.
refuses() {
	! "$HERE/unload" >"$WORK/out" 2>&1 || { echo "unloaded"; return 1; }
	cat "$WORK/out"
	[ "$(wc -l <"$WORK/out")" = 1 ] && grep -q "^xfd: not unloaded, in use: .*$1.*; nothing was changed$" "$WORK/out" &&
		is_settled && same "enabled" 1 "$(cat $PATCH/enabled)"
}

# COMMAND ARGS...: while the process $holder holds the loaded module, which can be unloaded afterwards.
while_held() {
	"$@"
	held=$?
	kill $holder
	wait $holder 2>/dev/null
	[ $held = 0 ] && unloads
}

# The same, with a process that has a file of the module open.
while_open() {
	loads || return
	sleep 600 <$COUNTERS/first_uses &
	holder=$!
	while_held "$@"
}

names_the_process() { refuses "sleep ($holder) has $COUNTERS/first_uses open"; }

mode_is() { [ "$(stat -c %a /proc/xfd)" = "$1" ]; }

# Otherwise a user who waits for the module to be disabled could then open a file, and keep it from being removed.
lets_nobody_in_meanwhile() {
	mode_is 555 || return
	"$HERE/unload" >"$WORK/out" 2>&1 &
	unloading=$!
	until_true 1 mode_is 500
	closed=$?
	! wait $unloading && mode_is 555 && [ $closed = 0 ]
}

# A name that would clear the terminal and end the line.
shows_no_odd_characters() {
	loads && mkfifo "$WORK/fifo" || return
	sh -c 'printf "a\033[2J\\\\n" >/proc/$$/comm; read -r _ <"$1"' sh "$WORK/fifo" <$COUNTERS/first_uses &
	holder=$!
	while_held refuses "a?\[2J\\\\n ($holder) has $COUNTERS/first_uses open"
}

# One that was disabled by hand cannot go on serving.
removes_a_disabled_one() {
	echo 0 >$PATCH/enabled && until_true 30 is_unpatched &&
		! "$HERE/unload" >"$WORK/out" 2>&1 &&
		grep -q "^xfd: disabled, but in use: sleep ($holder) .*; unload it again later$" "$WORK/out"
}

names_the_module() {
	loads && insmod "${MODULE%/*}/kernel_tiles.ko" && refuses "the module kernel_tiles uses it"
	refused=$?
	rmmod kernel_tiles
	[ $refused = 0 ] && unloads
}

plan 7
check "loads" loads
check "unloads" unloads
check "names_the_process" while_open names_the_process
check "lets_nobody_in_meanwhile" while_open lets_nobody_in_meanwhile
check "shows_no_odd_characters" shows_no_odd_characters
check "removes_a_disabled_one" while_open removes_a_disabled_one
check "names_the_module" names_the_module
finish
