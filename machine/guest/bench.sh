#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# What `machine bench` runs in the guest: the kernel's own path and the module's in turn, each of
# them first in every other round. With several CPUs, first uses on all of them at once.
rounds=${XFD_ROUNDS:-3}
what=rows
[ "$(nproc)" = 1 ] || what=at-once

stock() { /tests/amx_bench $what; }
module() { /tests/amx_bench load /lib/xfd.ko && /tests/amx_bench $what && /tests/amx_bench unload; }

round=0
while [ $round -lt "$rounds" ]; do
	if [ $((round % 2)) = 0 ]; then
		stock && module
	else
		module && stock
	fi || exit 1
	round=$((round + 1))
done
