#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# Everything at once, for about twenty minutes of host time.
exec /tests/amx_stress --seed 3000 --operations 240000 --hotplug
