#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Debian's perf and bpftrace use the module's trace events like any others; the command lines are those in
# Documentation/xfdctl.rst.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

for tool in perf bpftrace; do
	[ -x /usr/bin/$tool ] || skip_all "no $tool: $(cat /left-out/$tool 2>/dev/null || echo "it is not in this guest")"
done
is_loaded || bail_out "the module is not loaded"
export HOME="$WORK" PATH="$PATH:/usr/bin"

# Three first uses, by two permitted programs and one unpermitted.
cat >"$WORK/programs" <<END
"$HERE/amx_dies" not; "$HERE/amx_dies" no-permission; "$HERE/amx_dies" not
END

# says COMMAND ARGS...: runs it with its output in $WORK/output.
says() {
	"$@" >"$WORK/output" 2>&1 </dev/null && return
	echo "exit status $?: $*"
	cat "$WORK/output"
	return 1
}
# shown COUNT PATTERN: COUNT lines of that output match PATTERN.
shown() {
	same "lines with $2" "$1" "$(grep -c -e "$2" "$WORK/output")" && return
	cat "$WORK/output"
	return 1
}

# --- perf -------------------------------------------------------------------------------------

perf_list() { says perf list 'xfd:*' && shown 1 "xfd:xfd_first_use .*Tracepoint event"; }
perf_stat() {
	says perf stat -x , -e xfd:xfd_first_use -- sh "$WORK/programs" && shown 1 "^3,,xfd:xfd_first_use,"
}
perf_record() {
	says perf record -q -o "$WORK/data" -e xfd:xfd_first_use -- sh "$WORK/programs" &&
		says perf script -i "$WORK/data" && shown 3 "amx_dies .*xfd:xfd_first_use: " && shown 1 "verdict=sigill" &&
		shown 2 "xfd_err=0x40000 xfd_err_after=\(0x\)*0 permitted=0x60ae7 size_before=2560 size_after=10752 .*verdict=resume"
}
perf_filter() {
	says perf record -q -o "$WORK/data" -e xfd:xfd_first_use --filter 'verdict == 1' -- sh "$WORK/programs" &&
		says perf script -i "$WORK/data" -F trace:comm,event,trace && shown 1 "amx_dies .*verdict=sigill" && shown 1 .
}
# perf trace omits fields that are zero.
perf_trace() {
	says perf trace -e 'xfd:*' -- sh "$WORK/programs" && shown 3 "amx_dies.* xfd:xfd_first_use(xfd_err: 0x40000, " &&
		shown 2 "size_after: 10752" && shown 1 "size_after: 2560, .*verdict: 1, "
}

# --- bpftrace -----------------------------------------------------------------------------------

bpftrace_list() {
	says bpftrace -lv 'tracepoint:xfd:*' && shown 1 "^tracepoint:xfd:xfd_first_use" && shown 1 "^ *u32 verdict" &&
		shown 1 "^ *u64 tsc"
}
# Traces the whole system while the programs run.
bpftrace_counts() {
	says bpftrace -e 'tracepoint:xfd:xfd_first_use { @[comm, args.verdict] = count(); @size = max(args.size_after); }' \
		-c "/bin/sh $WORK/programs" &&
		shown 1 "^@\[amx_dies, 0\]: 2$" && shown 1 "^@\[amx_dies, 1\]: 1$" && shown 1 "^@size: 10752$"
}

plan 8
echo "# $(perf --version), $(bpftrace --version)"
check "perf_list" perf_list
check "perf_record" perf_record
check "perf_record_filter" perf_filter
check "perf_stat" perf_stat
check "perf_trace" perf_trace
check "bpftrace_list" bpftrace_list
check "bpftrace_counts" bpftrace_counts
check "none_is_in_the_handler_and_none_was_served_twice" same "in_flight repeated" "0 0" "$(counter in_flight) $(counter repeated)"
finish
