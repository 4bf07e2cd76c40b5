#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl trace`, `record` and `report` show what programs do with tiles, live and afterwards, and leave nothing
# behind, however they end.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
XFDCTL=$HERE/xfdctl
DIES=$HERE/amx_dies
TRACING=/sys/kernel/tracing
INSTANCES=$TRACING/instances

# --- running it ------------------------------------------------------------------------------

# runs STATUS ARGS...: xfdctl exits with STATUS; its output is in $WORK/out and $WORK/err.
runs() {
	expected=$1
	shift
	"$XFDCTL" "$@" >"$WORK/out" 2>"$WORK/err"
	same "exit status" "$expected" $? && return
	cat "$WORK/out" "$WORK/err"
	return 1
}

# has FILE COUNT PATTERN: COUNT lines of $WORK/FILE match PATTERN.
has() {
	same "lines with $3 in $1" "$2" "$(grep -c -e "$3" "$WORK/$1")" && return
	cat "$WORK/$1"
	return 1
}

no_instance() { same "instances" "" "$(ls $INSTANCES)"; }

# begins ARGS...: starts it in the background, and waits until its events are enabled.
begins() {
	"$XFDCTL" "$@" >"$WORK/out" 2>"$WORK/err" &
	xfdctl=$!
	until_true 30 is_on $xfdctl
}
is_on() { grep -qs 1 "$INSTANCES/xfdctl-$1/events/xfd/xfd_first_use/enable"; }

# ends SIGNAL STATUS: SIGNAL makes it exit with STATUS, leaving no instance behind.
ends() {
	kill "-$1" $xfdctl
	wait $xfdctl
	same "exit status" "$2" $? && no_instance
}

# --- trace ------------------------------------------------------------------------------------

without_the_module() {
	runs 3 trace && has err 1 "^xfdctl: xfd is not loaded, so there is nothing to trace" && no_instance
}

five_steps() {
	runs 0 trace -- "$DIES" not && has out 1 "amx_dies (thread [0-9]* of process [0-9]*, CPU [01])$" &&
		has out 1 "^  1  read XFD_ERR   0x40000, tile data$" && has out 1 "^  2  clear XFD_ERR  0x0$" &&
		has out 1 "^  3  permission     0x60ae7, tile data is in it$" &&
		has out 1 "^  4  buffer         2560 -> 10752 bytes$" && has out 1 "^  5  XFD            0x40000 -> 0x0$" &&
		has out 1 "^     back to the instruction, after [0-9]* ticks$" && has out 7 . && no_instance
}

denied() {
	runs 132 trace -- "$DIES" no-permission && has out 1 "tile data is not in it" && has out 1 "still 2560 bytes" &&
		has out 1 "still 0x40000, armed" && has out 1 "^     SIGILL, after [0-9]* ticks$" && no_instance
}

# Other programs keep using tiles in the meantime.
the_programs_tree() {
	runs 132 trace --short -- sh -c "'$DIES' not; '$DIES' in-a-thread; '$DIES' not; kill -ILL \$\$" &&
		has out 2 " amx_dies .* resume " && has out 1 " worker .* sigill " && has out 3 .
}
busy() { amx_start --light && the_programs_tree && by_pid && by_comm && by_verdict && ten_and_enough; }
by_pid() {
	runs 0 trace --short --pid $amx_pid -n 5 && has out 5 " amx_load .* resume " && has out 5 . || return
	"$DIES" not && runs 0 trace --json --pid $amx_pid -n 3 && has out 3 "^{.*\"tgid\":$amx_pid,.*}$" && has out 3 .
}
by_comm() {
	begins trace --short --comm amx_dies -n 2 && "$DIES" not && "$DIES" no-permission
	wait $xfdctl && has out 1 "resume" && has out 1 sigill && has out 2 " amx_dies "
}
by_verdict() {
	begins trace --short --verdict sigill -n 1 && "$DIES" no-permission
	wait $xfdctl && has out 1 sigill && has out 1 .
}
ten_and_enough() { runs 0 trace --short -n 10 && has out 10 . && no_instance && amx_stop; }

# The tracer itself may miss a name; here it notes none.
names_of_the_dead() {
	echo 0 >$TRACING/options/record-cmd || return
	begins trace --short
	kill -STOP $xfdctl
	"$DIES" not
	"$DIES" no-permission
	kill -CONT $xfdctl
	ends TERM 0 && has out 2 " amx_dies " && has out 2 .
	done=$?
	echo 1 >$TRACING/options/record-cmd
	return $done
}

by_cgroup() {
	mkdir -p "$WORK/cgroup" && mount -t cgroup2 cgroup2 "$WORK/cgroup" && mkdir "$WORK/cgroup/inner" || return
	begins trace --json --cgroup /inner
	for wants in not no-permission; do
		"$DIES" $wants
		sh -c "echo \$\$ >'$WORK/cgroup/inner/cgroup.procs'; '$DIES' $wants; exit 0" 2>/dev/null
	done
	ends TERM 0
	left=$(sed -n 's/^xfdctl: \([0-9]*\) events are left out.*/\1/p' "$WORK/err")
	seen=$(grep -c '"cgroup":"/inner"' "$WORK/out")
	rmdir "$WORK/cgroup/inner"
	umount "$WORK/cgroup"
	has out "$seen" . && [ "$seen" -le 2 ] && [ $((seen + ${left:-0})) -ge 2 ] && return
	cat "$WORK/out" "$WORK/err"
	return 1
}

cannot_run() {
	runs 127 trace -- /no/such/program && has err 1 "^xfdctl: cannot run /no/such/program: No such file" &&
		runs 126 trace -- / && no_instance && runs 2 trace --verdict sigfpe
}

# --- every way to end ---------------------------------------------------------------------------

signals() { for signal in INT TERM HUP; do begins trace && ends $signal 0 || return; done; }
unread() {
	begins trace && "$DIES" not && "$DIES" not
	ends TERM 0 || return
	# The reader wants one line, and there are two.
	amx_start --light
	"$XFDCTL" trace --short | head -n 1 >"$WORK/out"
	amx_stop >/dev/null && has out 1 amx_load && no_instance
}
# Nothing drains the pipe.
stuck() {
	mkfifo "$WORK/full"
	amx_start --light
	sh -c "exec '$XFDCTL' trace <>'$WORK/full' >'$WORK/full'" &
	xfdctl=$!
	until_true 30 is_on $xfdctl
	until_true 60 first_uses_are $(($(counter first_uses) + 400)) && ends INT 0 && amx_stop
}
first_uses_are() { [ "$(counter first_uses)" -ge "$1" ]; }
killed() {
	begins trace
	kill -KILL $xfdctl
	wait $xfdctl
	[ -d $INSTANCES/xfdctl-$xfdctl ] && runs 0 trace -- "$DIES" not && no_instance
}
lost() {
	amx_start --light
	begins trace --short --buffer 4
	kill -STOP $xfdctl
	until_true 60 first_uses_are $(($(counter first_uses) + 500))
	kill -CONT $xfdctl
	until_true 30 grep -q "events were lost on CPU" "$WORK/out"
	ends INT 0 && amx_stop >/dev/null && grep -q "events were lost on CPU" "$WORK/out"
}

# --- record and report --------------------------------------------------------------------------

records() {
	before=$(($(counter first_uses) + $(counter denied)))
	begins record -o "$WORK/record"
	"$DIES" not && "$DIES" no-permission
	sh -c "'$DIES' in-a-thread; exit 0"
	ends INT 0 || return
	after=$(($(counter first_uses) + $(counter denied)))
	has err 1 "^xfdctl: 3 events in $WORK/record; 0 were lost$" && same "counted" 3 $((after - before)) &&
		same "lines" 5 "$(wc -l <"$WORK/record")"
}
reports() {
	runs 0 report "$WORK/record" && has out 1 "^3 events in [0-9.]* s; Linux $(uname -r), xfd.*, 2 CPUs$" &&
		has out 1 "^thread *first uses *granted *denied " && has out 1 "^worker [0-9]* *1 *0 *1 " &&
		runs 0 report --by comm "$WORK/record" && has out 1 "^amx_dies *2 *1 *1 [ 0-9]* 8192$" &&
		runs 0 report --by verdict --sort median "$WORK/record" && has out 1 "^sigill *2 " &&
		runs 0 report --json --by process "$WORK/record" && has out 4 "^{.*}$" &&
		runs 0 report --timeline "$WORK/record" && has out 1 "seconds first uses refused"
}
a_programs_record() {
	runs 132 record -o "$WORK/one" -- "$DIES" no-permission && runs 0 report "$WORK/one" && has out 1 "^amx_dies"
}
cut() {
	begins record -o "$WORK/cut" && "$DIES" not
	until_true 30 grep -q "amx_dies.*xfd_first_use" "$WORK/cut" || return
	kill -KILL $xfdctl
	wait $xfdctl
	runs 1 report "$WORK/cut" && has out 1 "^amx_dies" && has err 1 "it was cut short: it has no end"
}
# A full disk stops it in the middle of a line.
full() {
	mkdir -p "$WORK/small" && mount -t tmpfs -o size=4k tmpfs "$WORK/small" || return
	amx_start --light
	"$XFDCTL" record -o "$WORK/small/record" 2>"$WORK/err"
	status=$?
	amx_stop >/dev/null
	same "exit status" 3 $status && has err 1 "^xfdctl: cannot write $WORK/small/record: No space left on device" &&
		no_instance && runs 1 report "$WORK/small/record" && grep -q "^amx_load" "$WORK/out"
	done=$?
	umount "$WORK/small"
	return $done
}
# Nobody has opened the pipe.
unopened() {
	mkfifo "$WORK/pipe"
	within 60 runs 3 record -o "$WORK/pipe" &&
		has err 1 "^xfdctl: cannot write $WORK/pipe: nobody reads this pipe" && no_instance
}
# Nothing drains it.
undrained() {
	exec 6<>"$WORK/pipe"
	amx_start --light
	begins record -o "$WORK/pipe"
	until_true 60 first_uses_are $(($(counter first_uses) + 400)) && ends TERM 3 &&
		has err 1 "^xfdctl: cannot write $WORK/pipe: interrupted while nobody reads the output"
	done=$?
	exec 6>&-
	amx_stop >/dev/null
	return $done
}
through_a_pipe() {
	"$XFDCTL" record -o - -- "$DIES" not 2>/dev/null | "$XFDCTL" report - >"$WORK/out" && has out 1 "^amx_dies .* 8192$"
}

# --- buffers reclaimed and given back -------------------------------------------------------------

reclaim() {
	mkfifo "$WORK/idle" && echo 1 >/sys/module/xfd/parameters/reclaim_ms || return
	"$XFDCTL" trace --short -- "$HERE/amx_idle" --threads 2 <"$WORK/idle" >"$WORK/out" 2>"$WORK/err" &
	xfdctl=$!
	exec 5>"$WORK/idle"
	until_true 60 grep -q "amx_idle .* reclaimed 12288 bytes" "$WORK/out"
	echo >&5
	exec 5>&-
	wait $xfdctl && has out 2 "amx_idle .* resume " && grep -q "amx_idle .* regrown  12288 bytes" "$WORK/out" && no_instance
}

plan 22
check "without_the_module" without_the_module
load || bail_out "cannot load the module"
check "five_steps" five_steps
check "denied" denied
check "of_those_that_are_asked_for" busy
check "names_of_the_dead" names_of_the_dead
check "by_cgroup" by_cgroup
check "programs_that_cannot_be_run" cannot_run
check "ended_by_a_signal" signals
check "nobody_reads" unread
check "nobody_reads_and_the_pipe_is_full" stuck
check "what_a_killed_one_left_goes" killed
check "lost_events_are_said" lost
check "records" records
check "reports" reports
check "records_a_program" a_programs_record
check "a_record_that_was_cut" cut
check "a_full_disk" full
check "a_pipe_that_nobody_has_opened" unopened
check "a_pipe_that_is_full" undrained
check "through_a_pipe" through_a_pipe
check "taken_and_given_back" reclaim
check "the_module_goes" unload
finish
