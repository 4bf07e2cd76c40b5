#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# Everything at once, for about a minute of host time; a tenth of the operations on the debug kernel.
operations=10000
! grep -q " kasan_report$" /proc/kallsyms || operations=1000
exec /tests/amx_stress --seed 1 --operations $operations --hotplug
