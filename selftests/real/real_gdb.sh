#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Debian's gdb on threads with live tiles, and on their core files. It need not know about tile registers,
# but must not disturb them, and everything else must work.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

ZMM20='$zmm20.v8_int64[0], $zmm20.v8_int64[3], $zmm20.v8_int64[7]'

# debug NAME ARGS...: runs gdb with its output in $WORK/NAME.
debug() {
	output=$WORK/$1
	shift
	/usr/bin/gdb -nx -batch "$@" >"$output" 2>&1 </dev/null
	grep '^said ' "$output" | sed "s/^/# ${output##*/}: /"
}

# says NAME LINES: gdb printed exactly these lines.
says() {
	same "gdb, $1" "$2" "$(sed -n 's/^said //p' "$WORK/$1")" && return
	cat "$WORK/$1"
	return 1
}

# answer NAME PATTERN FILE YES NO: reports what this gdb can do.
answer() {
	if grep -q "$2" "$WORK/$3"; then
		echo "# answer $1 $4"
	else
		echo "# answer $1 $5"
	fi
}

counted() { ! is_loaded || counter first_uses; }

# counts BEFORE USES: there were USES first uses since BEFORE, if the module is loaded.
counts() {
	is_loaded || return 0
	same "first uses" "$(($1 + $2))" "$(counted)" &&
		same "served twice, in the handler" "0 0" "$(counter repeated) $(counter in_flight)"
}

left_alone() {
	same "the threads" "sleeping: tiles intact
counting: tiles intact
status 0" "$said
status $status" && counts "$before" 2
}

stepped_over() {
	says stepped "at the first use 1
one instruction on 5
signal 11 at the last store 1" && counts "$before" 1
}

left_a_core_file() {
	same "status" 139 "$status" && test -s "$WORK/core" && counts "$before" 1
}

plan 6
echo "# $(/usr/bin/gdb -nx -batch -ex 'show version' 2>&1 | grep "^GNU gdb")"

# --- a running process: one thread sleeps, one counts ---
before=$(counted)
mkfifo "$WORK/in" "$WORK/out"
"$HERE/gdb_target" <"$WORK/in" >"$WORK/out" &
target=$!
exec 3>"$WORK/in" 4<"$WORK/out"
read -r line <&4
pid=${line#ready }

debug attached -p "$pid" \
	-ex "printf \"said zmm20 of the sleeping thread %ld %ld %ld\\n\", $ZMM20" \
	-ex 'thread 2' \
	-ex "printf \"said zmm20 of the counting thread %ld %ld %ld\\n\", $ZMM20" \
	-ex 'set $a = $pc' -ex 'stepi' -ex 'set $b = $pc' -ex 'stepi' -ex 'set $c = $pc' \
	-ex 'printf "said stepped %d %d\n", $a != $b, $b != $c' \
	-ex 'set var $zmm21.v8_int64[7] = 99' -ex 'maint flush register-cache' \
	-ex 'printf "said zmm21 as written %ld\n", $zmm21.v8_int64[7]' \
	-ex 'info registers tmm0' -ex "generate-core-file $WORK/live" -ex 'detach'
check "reads_steps_and_writes_beside_live_tiles" says attached "zmm20 of the sleeping thread 11 44 88
zmm20 of the counting thread 11 44 88
stepped 1 1
zmm21 as written 99"
answer gdb.tile_registers "Invalid register .tmm0" attached unknown known

echo >&3
said=$(cat <&4)
wait $target
status=$?
exec 3>&- 4<&-
check "leaves_the_tiles_alone" left_alone

debug opened "$HERE/gdb_target" "$WORK/live" \
	-ex "printf \"said zmm20 of one thread %ld %ld %ld\\n\", $ZMM20" -ex 'thread 2' \
	-ex "printf \"said zmm20 of the other %ld %ld %ld\\n\", $ZMM20"
check "opens_its_own_core_file" says opened "zmm20 of one thread 11 44 88
zmm20 of the other 11 44 88"

# --- the first use itself, in a single step ---
before=$(counted)
debug stepped -ex 'set startup-with-shell off' -ex 'break *first_tile_use' -ex 'run crash' \
	-ex 'printf "said at the first use %d\n", $pc == (long)&first_tile_use' -ex 'stepi' \
	-ex 'printf "said one instruction on %d\n", $pc - (long)&first_tile_use' -ex 'continue' \
	-ex 'printf "said signal %d at the last store %d\n", $_siginfo.si_signo, $pc == (long)&last_store' \
	-ex 'kill' "$HERE/gdb_target"
check "steps_over_the_first_use" stepped_over

# --- a core file from the kernel ---
before=$(counted)
pattern=$(cat /proc/sys/kernel/core_pattern)
echo "$WORK/core" >/proc/sys/kernel/core_pattern
(
	ulimit -c unlimited
	exec "$HERE/gdb_target" crash
) 2>/dev/null
status=$?
echo "$pattern" >/proc/sys/kernel/core_pattern
check "leaves_a_core_file" left_a_core_file
debug postmortem "$HERE/gdb_target" "$WORK/core" \
	-ex 'printf "said signal %d at the last store %d\n", $_siginfo.si_signo, $pc == (long)&last_store' \
	-ex 'printf "said stack %d\n", $rsp != 0' -ex 'info registers' -ex 'p $zmm20.v8_int64[2]'
check "opens_the_kernels_core_file" says postmortem "signal 11 at the last store 1
stack 1"
answer gdb.core_file.zmm '^\$1 = 33$' postmortem shown missing
finish
