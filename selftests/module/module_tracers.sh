#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Tracers of the functions that the module hooks, and of neighbouring ones: each sees the calls, and first uses
# keep working, whether the tracer came before the module or after.
. "$(dirname "$(readlink -f "$0")")/neighbours_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
kvm_modules || skip_all "no KVM"
TRACING=/sys/kernel/tracing
ALL="$HOOKED $NEIGHBOURS"

# Each tracer has three functions: on, sees (all of the functions), off.

function_on() {
	for function in $ALL; do
		echo "$function"
	done >$TRACING/set_ftrace_filter && echo >$TRACING/trace && echo "${1:-function}" >$TRACING/current_tracer
}
function_sees() {
	for function in $ALL; do
		grep -q "$function" $TRACING/trace || { echo "$function was not seen"; return 1; }
	done
}
function_off() { echo nop >$TRACING/current_tracer && echo >$TRACING/set_ftrace_filter; }

graph_on() { function_on function_graph; }
graph_sees() { function_sees; }
graph_off() { function_off; }

# probes KIND: p or r
probes() {
	for function in $ALL; do
		echo "$1:xfd_selftest/$1_$function $function" >>$TRACING/kprobe_events || return
	done
	echo 1 >$TRACING/events/xfd_selftest/enable
}
probes_see() {
	for function in $ALL; do
		[ "$(awk -v event="$1_$function" '$1 == event { print $2 }' $TRACING/kprobe_profile)" -gt 0 ] && continue
		grep "$1_" $TRACING/kprobe_profile
		return 1
	done
}
kprobe_on() { probes p; }
kprobe_sees() { probes_see p; }
kprobe_off() { echo 0 >$TRACING/events/xfd_selftest/enable && echo >$TRACING/kprobe_events; }
kretprobe_on() { probes r; }
kretprobe_sees() { probes_see r; }
kretprobe_off() { kprobe_off; }

stack_on() {
	for function in $ALL; do
		echo "$function"
	done >$TRACING/stack_trace_filter && echo 1 >/proc/sys/kernel/stack_tracer_enabled
}
stack_sees() { [ "$(cat $TRACING/stack_max_size)" -gt 0 ]; }
stack_off() { echo 0 >/proc/sys/kernel/stack_tracer_enabled && echo >$TRACING/stack_trace_filter; }

# BPF programs cannot be attached where there is a direct call. Their run counts are known at the end.
fentry_on() {
	echo 1 >/proc/sys/kernel/bpf_stats_enabled || return
	launch_until ready 7 "$HERE/bpf_fentry" $ALL || return
	same "refused to BPF" "${1:-}" "$(sed -n 's/^refused \([^:]*\): .*/\1/p' "$WORK/says.7")" && return
	cat "$WORK/says.7"
	land 7
	return 1
}
fentry_sees() { :; }
fentry_off() {
	land 7 >"$WORK/ran" && ! grep ' ran 0$' "$WORK/ran" && grep -q ' ran ' "$WORK/ran"
	outcome=$?
	echo 0 >/proc/sys/kernel/bpf_stats_enabled
	return $outcome
}

# later TRACER: attached after the module, in both orders of detaching.
later() {
	load && ${1}_on ${2:-} && uses_everything && ${1}_sees && ${1}_off && uses_everything && module_serves || return
	${1}_on ${2:-} && unload && nothing_remains && uses_everything && ${1}_sees && ${1}_off && kernel_serves
}

# before TRACER...: all attached before the module, and detached one by one while it is loaded.
before() {
	for tracer in "$@"; do
		${tracer}_on || return
	done
	load && uses_everything || return
	for tracer in "$@"; do
		${tracer}_sees && ${tracer}_off && uses_everything || return
	done
	module_serves || return
	unload && nothing_remains
}

# refused_behind FUNCTION: the module is refused, and says why, while a BPF program is attached to FUNCTION.
refused_behind() {
	launch_until "attached $1" 7 "$HERE/bpf_fentry" "$1" || return
	log_mark
	! insmod "$MODULE" && log_of_module | grep -q "^xfd: not loaded: .* $1 .*BPF" && nothing_remains
	outcome=$?
	log_of_module
	land 7 && return $outcome
}
beside() {
	launch_until ready 7 "$HERE/bpf_fentry" ${ALL#fpu_xstate_prctl } && ! grep refused "$WORK/says.7" || return
	load && uses_everything && module_serves && unload && land 7 && nothing_remains
}

tidy() {
	! is_loaded || { echo 0 >$PATCH/enabled; until_true 30 is_unpatched; rmmod xfd; }
	for tracer in function kprobe stack; do
		${tracer}_off
	done
	[ ! -e "$WORK/says.7" ] || land 7
} >/dev/null 2>&1

plan 10
for tracer in function graph kprobe kretprobe stack; do
	check "later_$tracer" later $tracer
	tidy
done
check "later_bpf_but_where_the_direct_call_is" later fentry fpu_xstate_prctl
tidy
check "before_all_of_the_kernels_own" before function kprobe stack
tidy
check "refused_behind_bpf" refused_behind fpu_xstate_prctl
tidy
check "before_bpf" beside
tidy
check "the_kernel_serves" kernel_serves
finish
