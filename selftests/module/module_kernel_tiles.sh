#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Tiles in the kernel: the sample module gets them where allowed, is refused them where not, and pins xfd.ko
# while it uses it.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

SAMPLE=${SAMPLE_KO:-/lib/kernel_tiles.ko}

is_loaded || skip_all "no module"
[ -f "$SAMPLE" ] || skip_all "no $SAMPLE"

# Multiplies once, and asks for tiles in hard interrupt context and in a nested section.
loads() { insmod "$SAMPLE" && grep -x "products 1" /proc/xfd_kernel_tiles; }
programs_keep_theirs() { "$HERE/xfd_kernel_tiles"; }
module_is_held() {
	rmmod xfd 2>"$WORK/error" && echo "rmmod removed the module" && return 1
	[ -d /sys/module/xfd ]
}
multiplied() {
	products=$(sed -n 's/products //p' /proc/xfd_kernel_tiles)
	[ "$products" -ge 200 ] || { echo "only $products products"; return 1; }
}

plan 5
check "begins_and_is_refused_where_it_must_be" loads
check "programs_keep_their_registers" programs_keep_theirs
check "multiplied_each_time" multiplied
check "module_is_held" module_is_held
check "unloads" rmmod kernel_tiles
finish
