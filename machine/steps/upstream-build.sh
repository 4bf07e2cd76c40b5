# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made: JOBS MODULES X86-TESTS KVM-TESTS MAKE-ARGUMENT...
# The kernel, its modules, and the selftests that the series adds. Nothing is built against this kernel, so its tree is removed.
jobs=$1 modules=$2 x86_tests=$3 kvm_tests=$4
shift 4
tree=/xfd/kernel/tree out=/xfd/kernel/selftests headers=/xfd/kernel/headers
mkdir -p $out
cd $tree
make -j"$jobs" "$@" bzImage modules
cp arch/x86/boot/bzImage /xfd/kernel/vmlinuz
make -s "$@" kernelrelease >/xfd/kernel/release
# Below its modules folder a module lies as in the tree. Its configuration says which of them this kernel has.
for name in $modules; do
	[ ! -f "${name#kernel/}" ] || cp "${name#kernel/}" /xfd/kernel/modules/
done

make -s -j"$jobs" "$@" headers_install INSTALL_HDR_PATH=$headers
x86_goals=
for name in $x86_tests; do
	x86_goals="$x86_goals $out/$name"
done
# shellcheck disable=SC2086
make -s -j"$jobs" -C tools/testing/selftests/x86 CC=gcc OUTPUT=$out EXTRA_CFLAGS="-static -DCAN_BUILD_64" $x86_goals
kvm_goals=
for name in $kvm_tests; do
	kvm_goals="$kvm_goals /xfd/kernel/kvm/x86/$name"
done
# shellcheck disable=SC2086
make -s -j"$jobs" -C tools/testing/selftests/kvm CC=gcc ARCH=x86 OUTPUT=/xfd/kernel/kvm LDFLAGS=-static \
	KHDR_INCLUDES="-isystem $headers/include" EXTRA_CFLAGS="-I$headers/include" $kvm_goals
# shellcheck disable=SC2086
mv $kvm_goals $out
strip --strip-debug $out/*
cd /
rm -rf $tree $headers /xfd/kernel/kvm
