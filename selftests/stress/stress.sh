#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# Everything at once, for about a minute of host time; a tenth of the operations on the debug kernel.
# Memory is short now and then: the module's kept buffers go.
operations=10000
! grep -q " kasan_report$" /proc/kallsyms || operations=1000
(while sleep 0.1; do echo 2 >/proc/sys/vm/drop_caches; done) &
pressure=$!
/tests/amx_stress --seed 1 --operations $operations --hotplug
outcome=$?
kill $pressure
exit $outcome
