#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# Everything at once, for about a minute of host time.
exec /tests/amx_stress --seed 1 --operations 10000 --hotplug
