#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The module's cost relative to the C code, in one boot, from the emulator's counters: the minimum
# count for each. `machine bench` measures more, and more often.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

BENCH="$HERE/amx_bench brief"
# Percent of the C code's cost.
WARM=15
EQUAL=101

$BENCH >"$WORK/stock" || bail_out "amx_bench failed"
grep -q "^bench first_use.warm stock instructions " "$WORK/stock" || skip_all "only the emulated machine has instruction counters"
plan 5

measured() { load && $BENCH >"$WORK/module" && unload; }
check "measured_with_the_module" measured

# least PATH ROW UNIT: the smallest value; values are sorted, in the form VALUExTIMES.
least() {
	set -- $(grep "^bench $2 $1 $3 " "$WORK/$1")
	echo "${5%x*}"
}

# at_most PERCENT ROW UNIT
at_most() {
	stock=$(least stock "$2" "$3") module=$(least module "$2" "$3")
	[ -n "$stock" ] && [ -n "$module" ] && [ $((module * 100)) -le $((stock * $1)) ] && return
	echo "$2, $3: ${module:-none} with the module, ${stock:-none} by the C code: more than $1 %"
	return 1
}

warm_first_use() { at_most $WARM first_use.warm instructions; }
check "warm_first_use" warm_first_use

permission_calls() {
	for row in permission.request permission.repeated permission.query; do
		at_most 100 $row instructions || return
	done
}
check "permission_calls" permission_calls

exits() {
	for row in first_use.warm switch.plain_plain switch.amx_plain switch.amx_amx; do
		for unit in nm rdmsr_xfd wrmsr_xfd rdmsr_xfd_err wrmsr_xfd_err; do
			at_most 100 $row $unit || return
		done
	done
	same "#NM of a first use" 1 "$(least module first_use.warm nm)"
}
check "no_more_exceptions_and_msr_accesses" exits

everything_else() {
	for row in getppid switch.plain_plain switch.amx_plain switch.amx_amx signal.plain signal.amx; do
		at_most $EQUAL $row instructions || return
	done
}
check "everything_else_costs_the_same" everything_else
finish
