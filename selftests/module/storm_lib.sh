# SPDX-License-Identifier: GPL-2.0
# Sourced by module_storm.sh: what runs while the module is loaded and unloaded. Each part runs until $WORK/enough
# exists, and skips what is currently impossible.
. "$(dirname "$(readlink -f "$0")")/neighbours_lib.sh"

RIVAL=${RIVAL_KO:-/lib/rival.ko}
RIVAL_PATCH=/sys/kernel/livepatch/rival
TRACING=/sys/kernel/tracing
FTRACE=/proc/sys/kernel/ftrace_enabled

# alone COMMAND ARGS...: runs it while nothing else changes ftrace's state.
alone() {
	until mkdir "$WORK/alone" 2>/dev/null; do
		usleep 20000
	done
	"$@"
	outcome_alone=$?
	rmdir "$WORK/alone"
	return $outcome_alone
}

# pick NUMBER WORD...: prints one of the words.
pick() {
	shift $(($1 % ($# - 1) + 1))
	echo "$1"
}

# Runs guests, and every third time unloads KVM itself unless it is in use.
guests() {
	turn=0
	while [ ! -e "$WORK/enough" ]; do
		turn=$((turn + 1))
		if ! kvm_modules || ! printf '%s\n' make show arm enable load check | "$HERE/kvm_obey" >"$WORK/obeyed" 2>&1; then
			cat "$WORK/obeyed"
			return 1
		fi
		[ $((turn % 3)) -ne 0 ] || rmmod kvm_intel
		usleep 100000
	done
	kvm_modules
	echo "$turn guests"
}

rival_gone() { [ ! -d $RIVAL_PATCH ]; }
rival_leaves() {
	# EBUSY while another livepatch is in transition.
	[ ! -d $RIVAL_PATCH ] || [ "$(cat $RIVAL_PATCH/enabled)" = 0 ] || echo 0 >$RIVAL_PATCH/enabled
	rival_gone
}
rival_comes_and_goes() {
	insmod "$RIVAL" how=livepatch functions="$1" || return 0
	usleep 100000
	until_true 60 rival_leaves 2>/dev/null && until_true 10 rmmod rival
}
probed() {
	echo "$1:xfd_selftest/storm $2" >>$TRACING/kprobe_events || return 0
	echo 1 >$TRACING/events/xfd_selftest/storm/enable
	usleep 50000
	echo 0 >$TRACING/events/xfd_selftest/storm/enable
	echo "-:xfd_selftest/storm" >>$TRACING/kprobe_events
}
traced() {
	echo "$2" >$TRACING/set_ftrace_filter && echo "$1" >$TRACING/current_tracer
	usleep 50000
	echo nop >$TRACING/current_tracer && echo >$TRACING/set_ftrace_filter
}
with_bpf() {
	launch_until ready 8 "$HERE/bpf_fentry" "$1" || return
	usleep 50000
	land 8 >/dev/null
}

# Livepatches and traces one function after another.
neighbours() {
	turn=0
	while [ ! -e "$WORK/enough" ]; do
		turn=$((turn + 1))
		function=$(pick $turn $HOOKED $NEIGHBOURS)
		case $((turn % 6)) in
		0) alone rival_comes_and_goes "$function" ;;
		1) alone probed p "$function" ;;
		2) alone traced function "$function" ;;
		3) alone probed r "$function" ;;
		4) alone traced function_graph "$function" ;;
		5) alone with_bpf "$function" ;;
		esac || { echo "turn $turn, $function"; return 1; }
		usleep 100000
	done
	echo "$turn neighbours"
} 2>/dev/null
