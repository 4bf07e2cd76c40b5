#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# `make demo` runs this in the guest, with the module loaded.
echo "Kernel    $(uname -sr), as its distribution built it"
echo "CPU       $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), emulated"
echo "Module    xfd, enabled: $(cat /sys/kernel/livepatch/xfd/enabled)"

# With one CPU the emulated time-stamp counter counts instructions.
clock=ticks
[ "$(nproc)" != 1 ] || clock=instructions
/tests/amx_demo --clock $clock || exit

counters="first_uses denied repeated"
for name in $counters; do
	eval "$name=$(cat /sys/kernel/debug/xfd/$name)"
done
said=/tmp/onednn
ONEDNN_VERBOSE=1 OMP_NUM_THREADS=3 /tests/onednn_products >$said 2>&1
status=$?

echo "5. Software that knows nothing of this"
echo
sed -n 's/^onednn_verbose,v1,info,\(oneDNN v[0-9.]*\).*/   \1 as Debian packages it, in 3 threads. It says what it runs:/p' $said
sed -n 's/^\(onednn_verbose,v1,primitive,exec,cpu,\(matmul\|convolution\),.*,src:[a-z0-9]*\).*/     \1.../p' $said
echo "   Compared with plain loops:"
sed -n 's/^\(matmul\|convolution\)\.\([^ ]*\) [^ ]* right \(.*\) hash .*/     \1, \2: \3 elements right/p' $said
echo "   The module's counters:"
for name in $counters; do
	eval "before=\$$name"
	printf '     %-18s%3s -> %s\n' $name "$before" "$(cat /sys/kernel/debug/xfd/$name)"
done
echo
# Check that the results are right, and that the module served the first uses.
if [ $status != 0 ] || [ "$(cat /sys/kernel/debug/xfd/first_uses)" = "$first_uses" ]; then
	cat $said
	exit 1
fi
