#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The last test on a kernel into which the subsystem is built (upstream/linux-rust): it was that code which
# served, without what the module needs, and the core's tests passed in the kernel.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

grep -q ' xfd_start$' /proc/kallsyms || skip_all "the subsystem is not built into this kernel"

plan 6

says() { dmesg | grep -q "$1" || { echo "not in the kernel log: $1"; return 1; }; }
is_in_charge() { says "xfd: first uses of dynamic xfeatures can be handled in Rust" && grep -q Y /sys/module/xfd/parameters/enable; }
check "it_is_in_charge" is_in_charge

served_and_never_twice() {
	[ "$(counter first_uses)" -gt 0 ] && [ "$(counter repeated)" -eq 0 ] && return
	grep . $COUNTERS/*
	return 1
}
check "it_served" served_and_never_twice

# The suite of tree/kunit.rs
results=/sys/kernel/debug/kunit/xfd/results
core_tests_passed() {
	grep -q '^ok .*xfd$' $results && [ "$(grep -c '^ *ok ' $results)" -ge 9 ] && ! grep 'not ok' $results && return
	cat $results
	return 1
}
check "the_cores_tests_passed" core_tests_passed

no_module() {
	[ ! -e /sys/kernel/livepatch ] && ! grep '^xfd ' /proc/modules && ! grep ' xfd_gate_' /proc/kallsyms
}
check "nothing_of_the_module_is_there" no_module

# says_xfdctl COMMAND PATTERN: `xfdctl COMMAND` prints a matching line.
says_xfdctl() {
	"$HERE/xfdctl" "$1" >"$WORK/out" 2>&1
	seen=$?
	grep -q "$2" "$WORK/out" && return
	cat "$WORK/out"
	return 1
}
xfdctl_says_so() {
	says_xfdctl doctor "^ok *module .*is built into this kernel and handles first uses of tiles: [0-9]* so far" || return
	for command in status top metrics; do
		says_xfdctl $command "^xfdctl: xfd is built into this kernel, .*its counters are in $COUNTERS" &&
			same "exit status of $command" 3 $seen || return
	done
}
check "xfdctl_says_so" xfdctl_says_so

# A task that exits leaves its buffer to the next one.
check "buffers_are_used_again" test "$(counter recycled)" -gt 0
finish
