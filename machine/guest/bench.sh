#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# `machine bench` runs this in the guest: it measures the kernel's own path and the module's in turn, and changes which
# comes first from round to round.
rounds=${XFD_ROUNDS:-1}
what=${XFD_BENCH:-rows}

# The costs of loading and unloading are only reported by the main part.
module_rows=/dev/stdout
[ $what = rows ] || module_rows=/dev/null

stock() { /tests/amx_bench $what; }
module() {
	/tests/amx_bench load /lib/xfd.ko >$module_rows && /tests/amx_bench $what && kernel_tiles &&
		/tests/amx_bench unload >$module_rows
}
kernel_tiles() {
	[ $what = rows ] || return 0
	insmod /lib/kernel_tiles.ko && /tests/amx_bench kernel-tiles && rmmod kernel_tiles
}

round=0
while [ $round -lt "$rounds" ]; do
	if [ $((round % 2)) = 0 ]; then
		stock && module
	else
		module && stock
	fi || exit 1
	round=$((round + 1))
done
