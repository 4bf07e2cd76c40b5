#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` where the kernel was told to leave AMX or XFD alone: what is wrong, and the word on its command line.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

DOCTOR="$HERE/xfdctl doctor"

lines() {
	$DOCTOR >"$WORK/doctor"
	same "exit status" 1 $? && grep -q -e '^WRONG *XCR0 .*has not switched tiles on' "$WORK/doctor" &&
		grep -A1 -e '^WRONG *XCR0 ' "$WORK/doctor" | grep -q clearcpuid && return
	cat "$WORK/doctor"
	return 1
}
no_first_use() { ! grep -e '^ok *permission' -e '^ok *first use' "$WORK/doctor"; }
program() {
	$DOCTOR -- "$HERE/amx_dies" no-permission >"$WORK/doctor"
	same "exit status" 1 $? && grep -q '^WRONG *program .*no usable AMX' "$WORK/doctor" && return
	cat "$WORK/doctor"
	return 1
}

grep -q clearcpuid /proc/cmdline || skip_all "this kernel was not told to leave anything alone"
plan 3
check "the_reason_and_the_cure" lines
check "nothing_is_said_to_work" no_first_use
check "a_program_that_did_not_look" program
finish
