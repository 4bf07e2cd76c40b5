#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# A real-time thread with live tiles never leaves its CPU, and the module does not wait for it: other threads'
# buffers are reclaimed, and the parameter can be set. The livepatch core itself, whichever livepatch it disables,
# needs a worker to run on each CPU (klp_synchronize_transition(), kernel/livepatch/transition.c). That wait ends
# when the thread does, and no module function is on the waiter's stack.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
[ "$(nproc)" -ge 2 ] || skip_all "only one CPU: the real-time thread would take all of it"
SERVERS=/sys/kernel/debug/sched
RT_RUNTIME=/proc/sys/kernel/sched_rt_runtime_us
PATIENCE=4

# Leaves no time on CPU 1 to other tasks; the fair server would give them 5 %.
take_all() {
	for server in $SERVERS/*_server/cpu1/runtime; do
		[ ! -e "$server" ] || echo 0 >"$server" || return
	done
	echo -1 >$RT_RUNTIME
}
give_back() {
	for server in $SERVERS/*_server/cpu1/runtime; do
		[ ! -e "$server" ] || echo 50000000 >"$server"
	done
	echo 950000 >$RT_RUNTIME
}

reclaimed() { [ "$(counter reclaimed)" -gt "$1" ]; }
# The three amx_idle threads.
others_give_back() {
	before=$(counter reclaimed)
	launch_until ready 5 taskset -c 0 "$HERE/amx_idle" && until_true $PATIENCE reclaimed $((before + 2))
	outcome=$?
	echo "reclaimed: $(counter reclaimed), before $before"
	return $outcome
}
set_interval() { echo "$1" >/sys/module/xfd/parameters/reclaim_ms; }
disable() { echo 0 >$PATCH/enabled; }
# The task that disables the module is not executing module text.
the_livepatch_core_alone_waits() {
	within 1 disable
	until_true $PATIENCE is_unpatched && return
	cat /proc/[0-9]*/stack >"$WORK/stacks" 2>/dev/null
	grep -B20 -A20 -E "klp_|\[xfd\]" "$WORK/stacks"
	grep -A2 schedule_on_each_cpu "$WORK/stacks" | grep -q klp_ && ! grep -q "\[xfd\]" "$WORK/stacks"
}
goes() { until_true 30 is_unpatched && within $PATIENCE rmmod xfd && nothing_remains; }

plan 6
taskset -p 1 $$ >/dev/null
load && take_all || bail_out "cannot load the module, or cannot give all of CPU 1 to a real-time thread"
set_interval 5
launch_until ready 6 "$HERE/amx_spin" 1 || bail_out "no real-time thread"
check "others_give_their_buffers_back" others_give_back
check "the_parameter_can_be_set" within $PATIENCE set_interval 10
check "the_livepatch_core_alone_waits" the_livepatch_core_alone_waits
check "it_still_has_its_cpu" kill -0 "$pid_6"
kill -KILL "$pid_6"
give_back
check "then_the_module_goes" goes
check "the_others_use_tiles_again" land 5
finish
