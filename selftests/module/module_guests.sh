#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The module is loaded and unloaded while virtual CPUs exist. It makes no difference which code created or enlarged
# them, and none of them pins the module. Nor does the module pin KVM.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

plan 13
is_loaded && bail_out "the module is loaded: this test loads it itself"

kvm_modules() {
	for name in irqbypass kvm kvm-intel; do
		[ -d /sys/module/$(echo $name | tr - _) ] && continue
		insmod "$(find /lib/modules -name $name.ko)" || return
	done
}
kvm_goes() { rmmod kvm_intel && rmmod kvm; }

# begin: starts a program with a virtual CPU. tell WORDS...: sends it the commands one by one. end: ends it and
# returns its status.
begin() {
	rm -f "$WORK/words" "$WORK/done"
	mkfifo "$WORK/words" "$WORK/done" || return
	"$HERE/kvm_obey" <"$WORK/words" >"$WORK/done" 2>"$WORK/failed" &
	obeys=$!
	exec 5>"$WORK/words" 6<"$WORK/done"
}
tell() {
	for word in "$@"; do
		echo "$word" >&5
		read -r line <&6
		same "$word" "done $word" "$line" && continue
		cat "$WORK/failed"
		return 1
	done
}
end() {
	exec 5>&- 6<&-
	wait $obeys
}

grown() { same guests_grown "$1" "$(counter guests_grown)"; }
# The only thing the vCPU has from the module is its buffer, which the kernel can free.
goes() { unload && nothing_remains; }

made() { load && begin && tell make && grown 0; }
shown() { tell show && grown 1 && tell arm enable && grown 1; }
goes_and_it_goes_on() { goes && tell load check; }
by_the_kernel() { begin && tell make show arm enable load && load && tell check && grown 0; }
to_the_kernel() { tell load && goes && tell check load check && end; }
made_by_the_kernel() { begin && tell make && load && tell show arm enable load check && grown 1; }
made_for_the_kernel() { load && begin && tell make && goes && tell show arm enable load check && end; }
kvm_goes_beside_us() { load && kvm_goes && kvm_modules && begin && tell make show arm enable load check && grown 1 && end; }

kvm_modules || bail_out "no KVM"
baseline=$(fpstate_areas)
log_mark
check "a_new_one_has_no_room" made
check "it_grows_with_its_cpuid_and_never_again" shown
check "the_module_goes_and_the_guest_goes_on" goes_and_it_goes_on
check "nothing_is_wrong_at_its_end" end
check "nothing_left_by_it" fpstate_areas_back_to "$baseline"
check "one_of_the_kernels_own_is_taken_over" by_the_kernel
check "and_given_back" to_the_kernel
check "made_by_the_kernel_and_grown_by_us" made_by_the_kernel
check "which_keeps_nobody" eval "goes && tell check load check && end"
check "made_for_us_and_grown_by_the_kernel" made_for_the_kernel
check "kvm_goes_and_comes_beside_us" kvm_goes_beside_us
check "kvm_goes_before_us" eval "kvm_goes && goes && kvm_modules"
check "nothing_left_at_the_end" fpstate_areas_back_to "$baseline"
finish
