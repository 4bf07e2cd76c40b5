# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made: JOBS MODULES MAKE-ARGUMENT...
# Nothing is built against this kernel, so its tree is removed.
jobs=$1 modules=$2
shift 2
cd /xfd/kernel/tree
make -j"$jobs" "$@" bzImage modules
cp arch/x86/boot/bzImage /xfd/kernel/vmlinuz
make -s "$@" kernelrelease >/xfd/kernel/release
# Below its modules folder a module lies as in the tree.
for name in $modules; do
	[ ! -f "${name#kernel/}" ] || cp "${name#kernel/}" /xfd/kernel/modules/
done
cd /
rm -rf /xfd/kernel/tree
