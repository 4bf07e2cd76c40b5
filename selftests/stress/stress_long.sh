#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# Everything at once, for about twenty minutes of host time.
# Memory is short now and then: the module's kept buffers go.
(while sleep 0.1; do echo 2 >/proc/sys/vm/drop_caches; done) &
pressure=$!
/tests/amx_stress --seed 3000 --operations 240000 --hotplug
outcome=$?
kill $pressure
exit $outcome
