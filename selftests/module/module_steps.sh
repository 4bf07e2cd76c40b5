#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Each step of loading fails once (CONFIG_XFD_FAULTS): one line in the log says so, insmod gets ENOMEM,
# the kernel is as before, and the next load works.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

MODULE=${XFD_KO_FAULTS:-/lib/xfd_faults.ko}
LAST=12

is_loaded && bail_out "the module is loaded: this test loads it itself"
[ -f "$MODULE" ] || skip_all "no $MODULE: the module with CONFIG_XFD_FAULTS"

# Everything that is attached: hooks, probes, callback lists, pending work.
attached() {
	cat /sys/kernel/tracing/enabled_functions /sys/kernel/debug/kprobes/list
	# The tracepoint's users: struct tracepoint starts with its name, followed by a static key.
	"$HERE/kernel_look" list=shrinker_list list=syscore_list list=klp_patches word=__tracepoint_sched_process_exit+8 \
		calls=asm_exc_device_not_available calls=fred_hwexc
	ls /sys/kernel/debug /sys/kernel/tracing/events /sys/kernel/livepatch
}
as_before() { same "what is attached" "$(cat "$WORK/attached")" "$(attached)"; }

# busybox's insmod tries both system calls, and so fails twice.
fails_at() {
	if error=$(insmod "$MODULE" "fail_step=$1" 2>&1); then
		unload
		echo "insmod did not fail"
		return 1
	fi
	same errno "Cannot allocate memory" "${error##*: }" || return
	same "lines in the log" 1 "$(log_of_module | grep -c '^xfd: not loaded: step .* failed as fail_step asks$' | sed 's/2/1/')" || return
	nothing_remains || return
	# Anything a step leaves behind is still there at the end; checking each time is slow.
	[ "$1" -lt $LAST ] || as_before
}

loads_now() { load && module_serves && unload && nothing_remains && as_before && kernel_serves; }

attached >"$WORK/attached"
plan $((LAST + 2))
for step in $(seq $LAST); do
	log_mark
	check "step_$step" fails_at "$step"
done
check "there_is_no_further_step" insmod "$MODULE" "fail_step=$((LAST + 1))"
until_true 30 is_settled && unload
check "loads_after_that" loads_now
finish
