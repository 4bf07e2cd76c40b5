# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the prepared tree: RELEASE JOBS CC HOSTCC
release=$1 jobs=$2 cc=$3 hostcc=$4
cd /xfd/kernel
make -j"$jobs" CC="$cc" HOSTCC="$hostcc" KERNELRELEASE="$release" prepare modules_prepare
# Only the kernel's own build reads these.
find rust tools -name '*.o' -path '*/libbpf/*' -delete
test -s rust/libkernel.rmeta
