#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Sourced by the tests in this folder, for busybox's sh: KTAP results, loading and unloading, the
# kernel log since a mark, AMX programs in the background, leftover memory.

MODULE=${XFD_KO:-/lib/xfd.ko}
PATCH=/sys/kernel/livepatch/xfd
COUNTERS=/sys/kernel/debug/xfd
HERE=$(dirname "$(readlink -f "$0")")
WORK=$(mktemp -d /tmp/xfd.XXXXXX)

# --- results -------------------------------------------------------------------------------

number=0 failed=0 passed=0 skipped=0

plan() {
	echo "TAP version 13"
	echo "1..$1"
}

# check NAME COMMAND ARGS...: passes if the command succeeds; otherwise shows its output.
check() {
	checked=$1
	shift
	number=$((number + 1))
	if "$@" >"$WORK/said" 2>&1; then
		passed=$((passed + 1))
		echo "ok $number $checked"
	else
		failed=$((failed + 1))
		sed 's/^/# /' "$WORK/said"
		echo "not ok $number $checked"
	fi
}

# skip NAME WHY
skip() {
	number=$((number + 1)) skipped=$((skipped + 1))
	echo "ok $number $1 # SKIP $2"
}

# skip_all WHY: exits with 4, kselftest's status for a skipped test.
skip_all() {
	rm -rf "$WORK"
	echo "TAP version 13"
	echo "1..0 # SKIP $*"
	exit 4
}

bail_out() {
	rm -rf "$WORK"
	echo "Bail out! $*"
	exit 1
}

finish() {
	rm -rf "$WORK"
	echo "# Totals: pass:$passed fail:$failed xfail:0 xpass:0 skip:$skipped error:0"
	[ "$failed" -eq 0 ]
	exit
}

# same WHAT EXPECTED SEEN: succeeds if the two are equal; otherwise prints both.
same() {
	[ "$2" = "$3" ] && return
	printf '%s\nexpected:\n%s\nseen:\n%s\n' "$1" "$2" "$3"
	return 1
}

# --- polling --------------------------------------------------------------------------------

uptime_seconds() {
	read -r up _ </proc/uptime
	echo "${up%.*}"
}

# until_true SECONDS COMMAND ARGS...: retries until it succeeds, for at most SECONDS. The pauses are
# short at first because an emulated clock runs slowly.
until_true() {
	deadline=$(($(uptime_seconds) + $1))
	pause=2000
	shift
	until "$@"; do
		if [ "$(uptime_seconds)" -gt "$deadline" ]; then
			echo "waited in vain for: $*"
			return 1
		fi
		usleep $pause
		[ $pause -ge 50000 ] || pause=$((pause + pause / 8))
	done
}

# --- the module -----------------------------------------------------------------------------

is_loaded() { [ -d /sys/module/xfd ]; }
is_settled() { [ "$(cat $PATCH/transition 2>/dev/null)" = 0 ]; }
is_unpatched() { [ ! -d $PATCH ]; }

load() {
	insmod "$MODULE" && until_true 30 is_settled
}

unload() {
	echo 0 >$PATCH/enabled && until_true 30 is_unpatched && rmmod xfd
}

# Runs a program that checks the counters and a probe on the C function against its own count of first uses; passes if
# the program passes.
module_serves() { XFD_MODULE=1 "$HERE/xcomp_api" && XFD_MODULE=1 "$HERE/amx_matmul"; }
kernel_serves() { XFD_MODULE='' "$HERE/xcomp_api" && XFD_MODULE='' "$HERE/amx_matmul"; }

# Succeeds if the kernel shows no trace of the module.
nothing_remains() {
	grep "^xfd " /proc/modules && return 1
	for path in /sys/module/xfd $PATCH $COUNTERS /proc/xfd /sys/kernel/tracing/events/xfd; do
		[ -e $path ] && echo "$path is still there" && return 1
	done
	grep kallsyms_lookup_name /sys/kernel/debug/kprobes/list && return 1
	# The first column is ignored: others may trace kernel functions with such names.
	sed 's/^[^ ]* //' /sys/kernel/tracing/enabled_functions | grep xfd_ && return 1
	return 0
}

counter() { cat "$COUNTERS/$1"; }

# --- the kernel log -------------------------------------------------------------------------

marks=0

# log_of_module() starts here.
log_mark() {
	marks=$((marks + 1))
	mark="selftest $$ mark $marks"
	echo "$mark" >/dev/kmsg
}

# Log lines from the module, and from livepatch about it, since the mark; without those the kernel
# prints once per boot about out-of-tree modules.
log_of_module() {
	dmesg | sed 's/^<[0-9]*>//; s/^\[[^]]*\] //' | sed "1,/^$mark\$/d" |
		grep -E "^(xfd|livepatch): " | grep -vE "taint|module verification"
}

# Covers the whole boot; shows what it finds.
no_splat() { ! dmesg | grep -A10 -E "WARNING: |BUG: |Oops: |INFO: task "; }

# --- AMX programs in the background -----------------------------------------------------------

# amx_begin ARGS...: starts amx_load in the background.
amx_begin() {
	mkfifo "$WORK/stop" "$WORK/says" || return
	"$HERE/amx_load" --threads 3 "$@" <"$WORK/stop" >"$WORK/says" &
	amx_pid=$!
	exec 3>"$WORK/stop" 4<"$WORK/says"
	rm "$WORK/stop" "$WORK/says"
}

# Waits until all its threads have live tiles.
amx_is_ready() {
	read -r line <&4
	same "amx_load, first line" ready "$line"
}

# Both of the above; same arguments as amx_begin.
amx_start() { amx_begin "$@" && amx_is_ready; }

# Stops it; succeeds if everything computed since the start was correct.
amx_stop() {
	exec 3>&-
	cat <&4
	exec 4<&-
	wait "$amx_pid"
}

# --- a share of the CPUs -----------------------------------------------------------------------

# If $SHARE is set, everything started between the two gets $SHARE microseconds out of every 100,000 across all
# CPUs, and the rounds get the rest.
CGROUP=/sys/fs/cgroup
share_begins() {
	[ -n "$SHARE" ] || return 0
	[ -e $CGROUP/cgroup.controllers ] || mount -t cgroup2 none $CGROUP || return
	echo +cpu >$CGROUP/cgroup.subtree_control && mkdir -p $CGROUP/beside &&
		echo "max 100000" >$CGROUP/beside/cpu.max && echo $$ >$CGROUP/beside/cgroup.procs
}
share_ends() {
	[ -z "$SHARE" ] || { echo $$ >$CGROUP/cgroup.procs && echo "$SHARE 100000" >$CGROUP/beside/cpu.max; }
}

# --- leftover memory --------------------------------------------------------------------------

# Areas of the size of an enlarged fpstate, three pages, including those the module keeps for the next first use.
# Terminal buffers and parts of modules have the same size, and are left out.
list_fpstate_areas() { grep "pages=3 vmalloc" /proc/vmallocinfo | grep -vE " (n_tty_open|execmem_alloc)"; }

# The areas belonging to tasks.
fpstate_areas() { echo $(($(list_fpstate_areas | wc -l) - $(pooled))); }

# Buffers that the module keeps without a task; none without the module.
pooled() { cat $COUNTERS/pooled 2>/dev/null || echo 0; }

# Succeeds once exited programs no longer count: nothing changes for longer than an RCU grace period.
fpstate_areas_stay() {
	before=$(fpstate_areas)
	usleep 300000
	[ "$(fpstate_areas)" = "$before" ]
}

# At most that many are left. The last ones are freed after an RCU grace period.
fpstate_areas_at_most() { [ "$(fpstate_areas)" -le "$1" ]; }

fpstate_areas_back_to() {
	until_true 2 fpstate_areas_at_most "$1" && return
	echo "fpstate areas: $(fpstate_areas), at the start $1"
	list_fpstate_areas
	return 1
}

# --- programs that exit on request --------------------------------------------------------------

# launch FD PROGRAM ARGS...: starts it in the background; it ends when it reads a line from FD, a single
# digit. Its output goes to $WORK/says.FD.
launch() {
	fd=$1
	shift
	mkfifo "$WORK/line.$fd" && : >"$WORK/says.$fd" || return
	# It must not inherit the others' pipes.
	"$@" <"$WORK/line.$fd" >"$WORK/says.$fd" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
	eval "pid_$fd=$! ; exec $fd>\"$WORK/line.$fd\""
	rm "$WORK/line.$fd"
}

said() { grep -q "^$2" "$WORK/says.$1"; }

# launch_until WORD FD PROGRAM ARGS...: launches it and waits until it has printed WORD.
launch_until() {
	word=$1
	shift
	launch "$@" && until_true 30 said "$1" "$word" && return
	cat "$WORK/says.$1"
	return 1
}

# land FD: ends it, shows its output, and returns its status.
land() {
	# In a subshell, because the program may already have exited (SIGPIPE).
	eval "(echo >&$1) 2>/dev/null; exec $1>&-; wait \$pid_$1"
	ended=$?
	cat "$WORK/says.$1"
	return $ended
}

# within SECONDS COMMAND ARGS...: runs it in the background; fails once SECONDS have passed.
within() {
	patience=$1
	shift
	rm -f "$WORK/within"
	{ "$@" >"$WORK/within.said" 2>&1; echo $? >"$WORK/within.new"; mv "$WORK/within.new" "$WORK/within"; } &
	until_true "$patience" [ -e "$WORK/within" ] || return
	cat "$WORK/within.said"
	return "$(cat "$WORK/within")"
}
