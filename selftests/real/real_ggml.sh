#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Debian's ggml uses AMX by default, in its special buffers.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

counted() { ! is_loaded || counter first_uses; }

# computes THREADS: both kinds of buffer give the correct product, with one first use per thread.
computes() {
	before=$(counted)
	"$HERE/ggml_products" "$1" || return
	is_loaded || return 0
	same "first uses" "$((before + $1))" "$(counted)" &&
		same "served twice, in the handler" "0 0" "$(counter repeated) $(counter in_flight)"
}

# computed LINES: what computes() printed about the products.
computed() { same "the products" "$1" "$(grep '^q8_0 ' "$WORK/shown")"; }

products="q8_0 CPU right 1920 of 1920
q8_0 AMX right 1920 of 1920"

plan 5
for threads in 1 3; do
	check "is_right_with_${threads}_threads" computes $threads
	cp "$WORK/said" "$WORK/shown"
	sed 's/^/# /' "$WORK/shown"
	check "uses_tiles_with_${threads}_threads" computed "$products"
done
check "chooses_the_build_for_this_processor" grep -q 'libggml-cpu-sapphirerapids.so' "$WORK/shown"
finish
