#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# KVM's modules are loaded and unloaded just as the module is being loaded: none of their functions is hooked, and their
# guests keep their tiles. Makes XFD_TRIES attempts, each with a different delay.
. "$(dirname "$(readlink -f "$0")")/neighbours_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
[ "$(nproc)" -ge 2 ] || skip_all "only one CPU: nothing happens at the same time"
kvm_modules || skip_all "no KVM"
TRIES=${XFD_TRIES:-12}

# Nobody hooks any of KVM's functions.
nothing_of_kvm() {
	! grep -E "\[kvm(_intel)?\]" /sys/kernel/tracing/enabled_functions || return
	until_true 5 no_reference
}
# Neither xfd nor KVM's modules hold a reference to the other.
no_reference() { ! awk '$1 ~ /^kvm/ && $4 ~ /xfd/ || $1 == "xfd" && $4 ~ /kvm/' /proc/modules | grep .; }

# at_once MILLISECONDS: starts unloading kvm-intel, and loads the module that much later.
at_once() {
	taskset -c 0 rmmod kvm_intel &
	going=$!
	usleep "$1"000
	taskset -c 1 insmod "$MODULE" && until_true 30 is_settled
	outcome=$?
	wait $going
	kvm_modules && nothing_of_kvm && return $outcome
}

tries() {
	for try in $(seq "$TRIES"); do
		at_once $((try * 10)) || { echo "try $try"; return 1; }
		[ $((try % 4)) -ne 0 ] || uses_everything || return
		unload || return
	done
}

plan 5
check "nothing_of_kvm_is_hooked" eval "load && nothing_of_kvm && uses_everything"
check "kvm_goes_and_comes" eval "rmmod kvm_intel && rmmod kvm && kvm_modules && nothing_of_kvm && uses_everything"
check "unload" unload
check "loads_while_kvm_goes" tries
check "guests_have_their_tiles" eval "load && '$HERE/kvm_guest_tiles' && unload"
finish
