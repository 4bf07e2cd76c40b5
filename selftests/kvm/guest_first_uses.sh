#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# The last test in kvm_linux.sh's guest: how many #NMs its kernel took because of XFD, according to the module's counters and
# to the probe on the C function that the guest's command line sets. kvm_linux.sh compares this with the VM exits.
counter() { cat /sys/kernel/debug/xfd/"$1" 2>/dev/null || echo 0; }

probed=$(sed -n 's/^ *xfd_nm *\([0-9]*\) .*/\1/p' /sys/kernel/tracing/kprobe_profile)
module=$(($(counter first_uses) + $(counter denied) + $(counter failed_allocations)))
echo "TAP version 13"
echo "1..2"
echo "# module $module, C code $probed"
echo "# first_uses $((module + probed))"
[ "$probed" ] && [ $((module + probed)) -gt 0 ] || printf 'not '
echo "ok 1 there_were_first_uses"
[ "$(counter repeated)" = 0 ] || printf 'not '
echo "ok 2 none_was_served_twice"
