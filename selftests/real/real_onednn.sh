#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Debian's oneDNN uses AMX by default, and gets the same results as without it.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

OPERATIONS="matmul.int8 matmul.bf16 convolution.int8 convolution.bf16"

# run NAME THREADS [SETTING]: output goes to $WORK/NAME, the module's counts to $WORK/NAME.counted.
run() {
	before=$(counted)
	env ONEDNN_VERBOSE=1 OMP_NUM_THREADS="$2" ${3:+"$3"} "$HERE/onednn_products" >"$WORK/$1" 2>&1
	echo $? >"$WORK/$1.status"
	echo "$before -> $(counted)" >"$WORK/$1.counted"
	grep -E '^(oneDNN|matmul|convolution)' "$WORK/$1" | sed "s/^/# $1: /"
}

# Prints the counts of first uses, refusals, and uses served twice.
counted() {
	is_loaded || return
	echo "$(counter first_uses) $(counter denied) $(counter repeated)"
}

all_right() {
	cat "$WORK/$1"
	same "exit status" 0 "$(cat "$WORK/$1.status")"
}

# The kernels of the four operations, as oneDNN reports them for each execution.
kernels() {
	sed -n 's/^onednn_verbose,v1,primitive,exec,cpu,\(matmul\|convolution\),\([^,]*\),.*/\2/p' "$WORK/$1"
}

# on_tiles NAME COUNT USES: COUNT of the operations ran on an AMX kernel; the module, if loaded, counted USES
# first uses and no refusals.
on_tiles() {
	kernels "$1"
	same "operations on AMX kernels" "$2" "$(kernels "$1" | grep -c '_amx$')" || return
	is_loaded || return 0
	# shellcheck disable=SC2046
	set -- "$3" $(cat "$WORK/$1.counted")
	same "first uses, refused, served twice" "$(($2 + $1)) $3 0" "$6 $7 $8"
}

hash_of() { sed -n "s/^$2 .* hash //p" "$WORK/$1"; }

same_integers() {
	for operation in matmul.int8 convolution.int8; do
		[ -n "$(hash_of "$1" $operation)" ] || { echo "$operation has no result"; return 1; }
		same "hash of $operation" "$(hash_of "$1" $operation)" "$(hash_of "$2" $operation)" || return
	done
}

plan 8
run tiles 1
check "right_on_tiles" all_right tiles
check "chooses_amx_kernels" on_tiles tiles 4 1
run vectors 1 ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16
check "right_on_vectors" all_right vectors
check "chooses_no_amx_kernel_if_told_so" on_tiles vectors 0 0
check "integers_are_equal" same_integers tiles vectors
run threads 3
check "right_on_tiles_in_3_threads" all_right threads
check "chooses_amx_kernels_in_3_threads" on_tiles threads 4 3
check "integers_are_equal_in_3_threads" same_integers tiles threads
for operation in $OPERATIONS; do
	sed -n "s/^$operation \([^ ]*\) right .* hash \(.*\)/# answer onednn.$operation \1 \2/p" "$WORK/tiles"
done
finish
