#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# pool=0: no buffer is kept, not even one per CPU.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"

# Whatever happened before: threads exiting, an exec, a pass looking for spare buffers, a parameter change.
pooled_is_zero() { same "pooled" 0 "$(pooled)"; }
loads() { insmod "$MODULE" pool=0 reclaim_ms=1 && until_true 30 is_settled && pooled_is_zero; }
used() { amx_start && pooled_is_zero && amx_stop && "$HERE/xfd_exec_storm" 3 && pooled_is_zero; }
later() { usleep 100000 && pooled_is_zero; }
switched_off() {
	echo 4 >/sys/module/xfd/parameters/pool && amx_start && amx_stop || return
	[ "$(pooled)" -gt 0 ] || { echo "pool=4 keeps none"; return 1; }
	echo 0 >/sys/module/xfd/parameters/pool && until_true 5 pooled_is_zero && used
}

# Whatever the interval between passes: 0 means none.
switched_off_with_interval() {
	echo "$1" >/sys/module/xfd/parameters/reclaim_ms && switched_off
}

plan 8
check "loads" loads
check "used" used
check "some_passes_later" later
check "set_to_zero_while_loaded" switched_off
check "some_passes_later_again" later
check "set_to_zero_between_passes" switched_off_with_interval 600000
check "set_to_zero_without_passes" switched_off_with_interval 0
check "unloads" eval "unload && nothing_remains"
finish
