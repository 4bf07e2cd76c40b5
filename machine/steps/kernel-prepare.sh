# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the prepared tree: RELEASE JOBS CC=COMPILER HOSTCC=COMPILER
release=$1 jobs=$2
shift 2
cd /xfd/kernel
make -j"$jobs" "$@" KERNELRELEASE="$release" prepare modules_prepare
# Only the kernel's own build reads these.
find rust tools -name '*.o' -path '*/libbpf/*' -delete
test -s rust/libkernel.rmeta
