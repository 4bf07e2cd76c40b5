#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# What `make demo` shows, in the guest, with the module loaded.
echo "Kernel    $(uname -sr), as its distribution built it"
echo "CPU       $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), emulated"
echo "Module    xfd, enabled: $(cat /sys/kernel/livepatch/xfd/enabled)"

# With one CPU the emulated time-stamp counter counts instructions.
clock=ticks
[ "$(nproc)" != 1 ] || clock=instructions
exec /tests/amx_demo --clock $clock
