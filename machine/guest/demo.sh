#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# What `make demo` shows, in the guest, with the module loaded.
set -e
echo "Kernel:  $(uname -r)"
echo "CPU:     $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), AMX: $(grep -o -m 1 'amx_[a-z0-9]*' /proc/cpuinfo | tr '\n' ' ')"
echo "Module:  xfd, livepatch enabled: $(cat /sys/kernel/livepatch/xfd/enabled)"
echo
/tests/amx_demo
echo
echo "Counters (/sys/kernel/debug/xfd):"
for counter in first_uses denied failed_allocations ordinary_nm in_flight repeated; do
	printf '  %-20s %s\n' "$counter" "$(cat /sys/kernel/debug/xfd/$counter)"
done
