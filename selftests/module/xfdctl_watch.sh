#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl status`, `top` and `metrics` show what real threads do with tiles: root sees all threads, an ordinary
# user their own.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
PARAMETERS=/sys/module/xfd/parameters
CGROUPS=/sys/fs/cgroup
PERSON=1000

# as_person COMMAND: runs it in an ordinary user's shell.
grep -q "^person:" /etc/passwd 2>/dev/null || echo "person::$PERSON:$PERSON::/tmp:/bin/sh" >>/etc/passwd
as_person() { su person -c "$1"; }

# exits STATUS COMMAND ARGS...: COMMAND exits with STATUS; its output is in $WORK/out.
exits() {
	status=$1
	shift
	"$@" >"$WORK/out" 2>&1
	seen=$?
	same "exit status of $*" "$status" "$seen" && return
	cat "$WORK/out"
	return 1
}

# has PATTERN: a line of $WORK/out matches.
has() {
	grep -q -e "$1" "$WORK/out" && return
	echo "no such line: $1"
	cat "$WORK/out"
	return 1
}

not_loaded() {
	for command in status top; do
		exits 4 "$HERE/xfdctl" $command && has "^xfd is not loaded: the kernel's own code" || return
	done
	exits 0 "$HERE/xfdctl" metrics && has "^xfd_up 0$"
}

# Nothing has been reclaimed yet.
loaded() {
	load && echo 600000 >$PARAMETERS/reclaim_ms || return
	exits 0 "$HERE/xfdctl" status && has "^xfd .*on Linux $(uname -r)$" && has "^in charge *since 20..-..-..*, for " &&
		has "^livepatch *enabled$" && has "^parameters .*reclaim_ms 600000" && has "^build ID *[0-9a-f]\{40\}$" &&
		! grep "not known to this xfdctl" "$WORK/out"
}

# rows FILE: prints one `top --json` row per line; the keys are in alphabetical order.
rows() { sed 's/},{/}\n{/g' "$1"; }

# row STATE BYTES PID: `top` has this row, and no other for that process.
row() {
	"$HERE/xfdctl" top --once --json >"$WORK/top" || return
	rows "$WORK/top" | grep "\"pid\":$3," >"$WORK/row"
	[ "$(wc -l <"$WORK/row")" = 1 ] && grep -q "\"bytes\":$2,.*\"comm\":\"amx_stages\".*\"state\":\"$1\",\"tid\":$3}" "$WORK/row"
}
no_row() {
	"$HERE/xfdctl" top --once --json >"$WORK/top" || return
	! grep "\"pid\":$1," "$WORK/top"
}
shows() {
	until_true 30 row "$@" && return
	cat "$WORK/top"
	return 1
}

permitted() { launch_until permitted 5 "$HERE/amx_stages" && shows permitted 0 "$pid_5"; }
live() { echo >&5 && shows live "[1-9][0-9]*" "$pid_5"; }
idle() { echo >&5 && until_true 30 said 5 idle && shows idle "[1-9][0-9]*" "$pid_5"; }

as_text() {
	exits 0 "$HERE/xfdctl" top && has "^1 thread: 1 idle; buffers 12.0 KiB, of vCPUs 0 B$" &&
		has "^ *PID  *TID  *STATE " && has "^ *$pid_5  *$pid_5  *idle .* 12.0K  *-  *amx_stages" &&
		! grep "Only" "$WORK/out"
}
of_a_process() {
	exits 0 "$HERE/xfdctl" top --by process && has "^ *$pid_5  *1  *0  *0  *1  *0 .* amx_stages$"
}

# Mounts the unified hierarchy for this.
of_a_cgroup() {
	mount -t cgroup2 none $CGROUPS && mkdir $CGROUPS/tiles && echo "$pid_5" >$CGROUPS/tiles/cgroup.procs || return
	exits 0 "$HERE/xfdctl" top --by cgroup && has "^ *1  *0  *0  *1  *0 .* /tiles$" &&
		exits 0 "$HERE/xfdctl" metrics --by cgroup && has '^xfd_threads{cgroup="/tiles",state="idle"} 1$'
}

# metric NAME VALUE
metric() {
	"$HERE/xfdctl" metrics >"$WORK/out" && has "^$1 $2$"
}
metrics() {
	metric 'xfd_threads{state="idle"}' 1 && has '^xfd_threads{state="live"} 0$' && has "^xfd_up 1$" &&
		has "^xfd_in_charge 1$" && has "^xfd_sees_all_threads 1$" && has '^xfd_buffer_bytes{kind="thread"} 12288$' &&
		has "^xfd_first_uses_total $(sed -n 's/^first_uses //p' /proc/xfd/counters)$" && ! grep "^xfd_unknown" "$WORK/out"
}

# The user sees the totals, their own thread, and a note that this is not everything.
ordinary_user() {
	cp "$HERE/amx_stages" "$HERE/xfdctl" /tmp && chmod 755 /tmp/amx_stages /tmp/xfdctl || return
	launch_until permitted 6 su person -c "exec /tmp/amx_stages" && shows permitted 0 "$pid_6" || return
	exits 0 as_person "/tmp/xfdctl top --json" && has '"sees":"own"' && has "\"pid\":$pid_6," &&
		! grep "\"pid\":$pid_5," "$WORK/out" || return
	exits 0 as_person "/tmp/xfdctl top" && has "^1 thread: 1 permitted" && has "^Only your own threads are shown" &&
		exits 0 as_person "/tmp/xfdctl status" && has "^first_uses  *[1-9]" &&
		exits 0 as_person "/tmp/xfdctl metrics" && has "^xfd_sees_all_threads 0$"
	result=$?
	for i in 1 2 3 4; do echo; done >&6
	land 6 && return $result
}

reclaimed() {
	echo 10 >$PARAMETERS/reclaim_ms && shows reclaimed 0 "$pid_5" && exits 0 "$HERE/xfdctl" status --json &&
		has '"reclaimed":{"kind":"counter",[^}]*"value":[1-9]'
}
again() { echo >&5 && until_true 30 said 5 again && shows live "[1-9][0-9]*" "$pid_5"; }
gone() { land 5 && no_row "$pid_5"; }

# 500 threads stay, and as many come and go: each reading shows all that stay, and none twice.
beside_a_thousand() {
	echo 600000 >$PARAMETERS/reclaim_ms && launch_until ready 5 "$HERE/amx_crowd" --threads 500 || return
	for round in 1 2 3 4 5; do
		"$HERE/xfdctl" top --once --json >"$WORK/top" || return
		rows "$WORK/top" | sed -n "s/.*\"pid\":$pid_5,.*\"tid\":\([0-9]*\)}.*/\1/p" | sort >"$WORK/tids"
		same "threads shown twice" "" "$(uniq -d "$WORK/tids")" || return
		[ -e "$WORK/always" ] || cp "$WORK/tids" "$WORK/always"
		grep -x -F -f "$WORK/tids" "$WORK/always" >"$WORK/both" && mv "$WORK/both" "$WORK/always"
		cat "$WORK/tids" >>"$WORK/ever"
	done
	always=$(wc -l <"$WORK/always") ever=$(sort -u "$WORK/ever" | wc -l)
	echo "$always threads in each reading, $ever in all"
	[ "$always" -ge 500 ] && [ "$ever" -gt "$((always + 50))" ] && land 5
}

# One xfdctl keeps writing a file while the module is unloaded; neither holds up the other.
watched() { grep -q "^xfd_up $1$" "$WORK/xfd.prom" 2>/dev/null; }
watch() {
	"$HERE/xfdctl" metrics --watch 0.05 --output "$WORK/xfd.prom" 3>&- 4>&- 5>&- 6>&- &
	watcher=$!
	until_true 30 watched 1 && echo 0 >$PATCH/enabled && until_true 30 is_unpatched || return
	exits 1 "$HERE/xfdctl" status && has "^in charge *no: the kernel's own code is$" || return
	# It may be reading right now.
	until_true 30 rmmod xfd && until_true 30 watched 0 && kill $watcher && wait $watcher && watched 0 &&
		same "files" xfd.prom "$(cd "$WORK" && ls -A | grep prom)"
}

plan 16
check "not_loaded" not_loaded
check "status" loaded
check "permitted" permitted
check "live" live
check "idle" idle
check "top_as_text" as_text
check "top_by_process" of_a_process
check "top_by_cgroup" of_a_cgroup
check "metrics" metrics
check "ordinary_user" ordinary_user
check "reclaimed" reclaimed
check "live_again" again
check "gone" gone
check "beside_a_thousand_that_come_and_go" beside_a_thousand
check "watch_while_the_module_goes" watch
check "no_splat" no_splat
umount $CGROUPS 2>/dev/null
finish
