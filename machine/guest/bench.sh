#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# `machine bench` runs this in the guest: it measures the kernel's own path and the module's in turn, and changes which
# comes first from round to round. A kernel into which the code is built has a switch instead of the module.
rounds=${XFD_ROUNDS:-1}
what=${XFD_BENCH:-rows}

# The costs of loading and unloading are only reported by the main part.
module_rows=/dev/stdout
[ $what = rows ] || module_rows=/dev/null

switch=/sys/module/xfd/parameters/enable
stock() {
	[ ! -e $switch ] || echo N >$switch
	/tests/amx_bench $what
}
ours() {
	if [ -e $switch ]; then
		echo Y >$switch && /tests/amx_bench $what
		return
	fi
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
		stock && ours
	else
		ours && stock
	fi || exit 1
	round=$((round + 1))
done
