#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The last test on the KCSAN kernel: KCSAN was still checking for data races, in the module too.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

KCSAN=/sys/kernel/debug/kcsan
[ -e $KCSAN ] || skip_all "this kernel has no KCSAN"

plan 4

says() { dmesg | grep -q "$1" || { echo "not in the kernel log: $1"; return 1; }; }
check "kcsan_passed_its_own_tests" says "kcsan: selftest: 3/3 tests passed"

# "enabled: 1" and so on
kcsan() { sed -n "s/^$1: *//p" $KCSAN; }
check "kcsan_is_still_on" same enabled 1 "$(kcsan enabled)"

check "the_module_is_instrumented" grep -q __tsan_volatile_read8 "$MODULE"

watched() {
	[ "$(kcsan setup_watchpoints)" -gt 1000 ] && return
	cat $KCSAN
	return 1
}
check "kcsan_watched" watched
sed 's/^/# /' $KCSAN
finish
