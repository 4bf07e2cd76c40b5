#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Debian's CRIU saves a process whose threads have live tiles, and restores it. CRIU need not know tiles: what it
# loses is an answer, and the same on every kernel.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

# At a hardware breakpoint of CRIU's the machine comes to a standstill: 130 has it do without.
export CRIU_FAULT=130

# start NAME: starts a target with its report in $WORK/NAME, and waits until its tiles are live. CRIU cannot save what
# the test inherited.
start() {
	setsid "$HERE/criu_target" "$WORK/$1" </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
	target=$!
	until_true 30 [ -e "$WORK/$1" ] && until_true 30 is_asleep "$target"
}

is_asleep() { grep -q '^State:.*sleeping' "/proc/$1/status"; }
is_gone() { ! [ -e "/proc/$1/status" ] || grep -q '^State:.*zombie' "/proc/$1/status"; }

# criu_does COMMAND OPTIONS...: runs CRIU with its images in $WORK/images; shows its errors.
criu_does() {
	mkdir -p "$WORK/images"
	/usr/sbin/criu "$@" -D "$WORK/images" -v4 -o log && return
	status=$?
	grep -E 'Error|Warn' "$WORK/images/log"
	echo "status $status"
	return 1
}

# report NAME: tells the target to report, and shows that as answers.
report() {
	kill -USR1 "$target" && until_true 30 is_gone "$target" && [ -s "$WORK/$1" ]
}

answers() { sed "s/^/# answer criu.$1./" "$WORK/$1"; }

# works_again NAME: both threads can ask for permission and use tiles.
works_again() {
	same "threads that can use tiles" 2 "$(grep -c 'request_and_use works$' "$WORK/$1")" && return
	cat "$WORK/$1"
	return 1
}

plan 8
echo "# $(/usr/sbin/criu --version | head -n 1)"

check "starts" start left_running
check "saves_live_tiles" criu_does dump -t "$target" --leave-running
check "the_process_runs_on" report left_running
answers left_running

rm -rf "$WORK/images"
check "starts_another" start restored
check "saves_and_ends_it" criu_does dump -t "$target"
check "restores_it" criu_does restore -d
check "the_restored_process_reports" report restored
answers restored
check "the_restored_process_can_use_tiles" works_again restored
finish
