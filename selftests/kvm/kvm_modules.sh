#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# Loads KVM for the tests that follow, and reports which processor features it uses.
echo "TAP version 13"
echo 1..1
# The prefix lets a guest force emulation of an instruction, as fastops_test and nested_emulation_test need.
for module in irqbypass "kvm force_emulation_prefix=1" kvm-intel; do
	# shellcheck disable=SC2086
	if ! insmod /lib/modules/${module%% *}.ko ${module#"${module%% *}"}; then
		echo "not ok 1 kvm_loads"
		exit 1
	fi
done
for name in cet enable_apicv enable_ipiv enable_mediated_pmu enable_shadow_vmcs ept eptad flexpriority mbec nested pml \
	preemption_timer sgx unrestricted_guest vnmi vpid; do
	value=$(cat /sys/module/kvm_intel/parameters/$name) || value=none
	echo "# answer kvm_intel.$name $value"
done
echo "ok 1 kvm_loads"
