#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Tasks that sleep in the kernel on memory that does not arrive: nothing waits for them, and the code they
# return to still exists.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

RIVAL=${RIVAL_KO:-/lib/rival.ko}
FAULTS=${XFD_KO_FAULTS:-/lib/xfd_faults.ko}
OTHER=$(find /lib/modules -name msr.ko)
LAST_STEP=12

is_loaded && bail_out "the module is loaded: this test loads it itself"
[ "$(nproc)" -ge 2 ] || skip_all "only one CPU"
for file in "$RIVAL" "$FAULTS" "$OTHER"; do
	[ -f "$file" ] || skip_all "no $file"
done

# asleep CALL COMMAND ARGS...: runs COMMAND while four threads sleep in CALL; their memory arrives afterwards.
asleep() {
	call=$1
	shift
	load && launch_until waiting 5 taskset -c 1 "$HERE/slow_page" "$call" || return
	"$@"
	outcome=$?
	land 5 || outcome=1
	until_true 30 is_unpatched && rmmod xfd 2>/dev/null
	return $outcome
}

disable() { echo 0 >$PATCH/enabled; }
functions_are_back() { ! grep -q fpu_flush_thread /sys/kernel/tracing/enabled_functions; }
another_module() { insmod "$OTHER" && rmmod msr; }
# The livepatch core has given its functions back; detaching our hooks is next.
goes() {
	within 8 disable
	until_true 8 functions_are_back && usleep 500000 && within 8 another_module || return
	until_true 8 is_unpatched && within 8 rmmod xfd && nothing_remains
}

# A call starts every two milliseconds while the module loads, and all of them return afterwards. busybox's
# insmod tries twice.
refused_while_called() {
	launch_until waiting 5 taskset -c 1 "$HERE/slow_page" "$1" --threads 150 --every 2 || return
	shift
	outcome=0
	if taskset -c 0 insmod "$@" 2>/dev/null; then
		until_true 30 is_settled && unload || outcome=1
	fi
	land 5 && return $outcome
}

# behind FUNCTION CALL: with a BPF program attached to FUNCTION, where the module needs its direct call.
behind() {
	launch_until ready 6 "$HERE/bpf_fentry" "$1" || return
	refused_while_called "$2" "$MODULE"
	outcome=$?
	land 6
	return $outcome
}
behind_a_tracer() {
	insmod "$RIVAL" how=ftrace functions="$1" || return
	refused_while_called "$2" "$MODULE"
	outcome=$?
	rmmod rival && return $outcome
}
at_the_last_step() { refused_while_called "$1" "$FAULTS" "fail_step=$LAST_STEP"; }

plan 8
for call in query sigreturn; do
	check "unloads_while_they_sleep_in_$call" asleep $call goes
done
for function in fpu_swap_kvm_fpstate fpu_xstate_prctl; do
	if [ -e /sys/kernel/btf/vmlinux ]; then
		check "refused_for_$function" behind $function query
	else
		skip "refused_for_$function" "the kernel lacks type information for BPF"
	fi
done
check "refused_for_fpu_flush_thread" behind_a_tracer fpu_flush_thread query
for call in query sigreturn; do
	check "refused_at_the_last_step_in_$call" at_the_last_step $call
done
check "the_kernel_serves" kernel_serves
finish
