#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# Loads KVM for the tests that come after it, and says what of the processor KVM uses.
echo "TAP version 13"
echo 1..1
for name in irqbypass kvm kvm-intel; do
	if ! insmod /lib/modules/$name.ko; then
		echo "not ok 1 kvm_loads"
		exit 1
	fi
done
for name in allow_smaller_maxphyaddr enable_apicv enable_ipiv enable_shadow_vmcs ept eptad flexpriority nested pml \
	preemption_timer unrestricted_guest vmentry_l1d_flush vnmi vpid; do
	value=$(cat /sys/module/kvm_intel/parameters/$name) || value=none
	echo "# answer kvm_intel.$name $value"
done
echo "ok 1 kvm_loads"
