#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The module comes and goes while virtual CPUs exist: made by whom, grown by whom, it does not matter; but
# one that was promised tiles and has no room for them keeps the module there.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

plan 12
is_loaded && bail_out "the module is loaded: this test loads it itself"

kvm_modules() {
	for name in irqbypass kvm kvm-intel; do
		[ -d /sys/module/$(echo $name | tr - _) ] && continue
		insmod "$(find /lib/modules -name $name.ko)" || return
	done
}
kvm_goes() { rmmod kvm_intel && rmmod kvm; }

# begin: a program with a virtual CPU. tell WORDS...: it obeys each. end: it ends; its status.
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

disable() { echo 0 >$PATCH/enabled && until_true 30 is_unpatched; }
stays() {
	! rmmod xfd || return
	log_of_module | grep -q "^xfd: 1 virtual CPUs have no room yet" && return
	echo "the log does not say why:"
	log_of_module
	return 1
}
owed() { same guests_owed "$1" "$(counter guests_owed)"; }
grown() { same guests_grown "$1" "$(counter guests_grown)"; }

promised() { load && begin && tell promise arm enable && owed 1 && grown 0; }
keeps_it() { disable && stays; }
grows() { tell load check && owed 0 && grown 1; }
goes_then() { rmmod xfd && nothing_remains && tell check load check; }
by_the_kernel() { begin && tell promise arm enable load && load && tell check && owed 0 && grown 0; }
to_the_kernel() { tell load && unload && tell check load check && end; }
ends_without() { load && begin && tell promise && disable && stays && end && rmmod xfd && nothing_remains; }
kvm_after_us() { kvm_goes && load && kvm_modules && begin && tell promise arm && owed 1; }

kvm_modules || bail_out "no KVM"
baseline=$(fpstate_areas)
log_mark
check "a_promise_takes_no_memory" promised
check "a_vcpu_without_room_keeps_the_module" keeps_it
check "it_still_grows" grows
check "then_the_module_goes_and_the_guest_goes_on" goes_then
check "nothing_is_wrong_at_its_end" end
check "nothing_left_by_it" fpstate_areas_back_to "$baseline"
check "a_vcpu_of_the_kernels_own_is_taken_over" by_the_kernel
check "and_given_back" to_the_kernel
log_mark
check "one_that_ends_without_room_lets_it_go" ends_without
check "kvm_may_come_later" kvm_after_us
check "and_is_served" eval "tell enable load check && grown 1 && end && unload"
check "nothing_left_at_the_end" fpstate_areas_back_to "$baseline"
finish
