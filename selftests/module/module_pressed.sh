#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The last test in a boot with short intervals and little memory: both really had an effect.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

PARAMETERS=/sys/module/xfd/parameters

is_loaded || skip_all "no module"
[ -n "$XFD_PRESSURE" ] || skip_all "no XFD_PRESSURE: memory is not short in this boot"

# more_than WHAT LEAST SEEN
more_than() { [ "$3" -gt "$2" ] || { echo "$1: $3, expected more than $2"; return 1; }; }

# Few test threads leave their tiles unused for even the shortest interval.
least=5
[ "$(cat $PARAMETERS/eager 2>/dev/null)" != Y ] || least=30
drops() { sed -n 's/^drop_slab //p' /proc/vmstat; }

plan 3
check "buffers_were_taken_back" more_than "buffers taken back" $least "$(counter reclaimed)"
if [ -n "$(drops)" ]; then
	check "memory_was_short" more_than "number of shrinker runs" 20 "$(drops)"
else
	skip "memory_was_short" "the kernel lacks drop_slab in /proc/vmstat"
fi
check "none_was_served_twice" same "first uses of a thread that had its buffer" 0 "$(counter repeated)"
for name in first_uses recycled reclaimed regrown; do
	echo "# $name $(counter $name)"
done
echo "# drop_slab $(drops)"
finish
