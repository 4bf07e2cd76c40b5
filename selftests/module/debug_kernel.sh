#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The last test on the debug kernel: checks that its checkers are still active. lockdep turns itself off after its
# first report, or when its tables are full.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

grep -q " kasan_report$" /proc/kallsyms || skip_all "this is not the debug kernel"

plan 4

says() { dmesg | grep -q "$1" || { echo "not in the kernel log: $1"; return 1; }; }
check "kasan_is_there" says "KernelAddressSanitizer initialized (generic)"
check "lockdep_passed_its_own_tests" says "Good, all .* testcases passed"

# "debug_locks: 1" and so on
lockdep() { sed -n "s/^ $1: *//p" /proc/lockdep_stats; }
check "lockdep_is_still_on" same debug_locks 1 "$(lockdep debug_locks)"

saw_locks_of_the_handler() {
	[ "$(lockdep 'direct dependencies' | sed 's/ .*//')" -gt 500 ] && return
	cat /proc/lockdep_stats
	return 1
}
check "lockdep_saw_dependencies" saw_locks_of_the_handler
finish
