#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# What `machine bench` runs in the guest: the kernel's own path and the module's in turn, each of
# them first in every other round.
rounds=${XFD_ROUNDS:-1}
what=${XFD_BENCH:-rows}

# How long that takes is told once.
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
