# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made: LLVM JOBS MODULES
llvm=$1 jobs=$2 modules=$3
cd /xfd/kernel/tree
# With the modules, Module.symvers has what they export.
make -j"$jobs" LLVM="$llvm" bzImage modules
test -s rust/libkernel.rmeta
cp arch/x86/boot/bzImage /xfd/kernel/vmlinuz
make -s LLVM="$llvm" kernelrelease >/xfd/kernel/release
# Below its modules folder a module lies as in the tree. Its configuration says which of them this kernel has.
for name in $modules; do
	[ ! -f "${name#kernel/}" ] || cp "${name#kernel/}" /xfd/kernel/modules/
done
# A module's build needs the tools, the headers and the Rust metadata.
rm -f vmlinux vmlinux.o vmlinux.unstripped vmlinux.a arch/x86/boot/bzImage .tmp_vmlinux*
find . \( -path ./tools -o -path ./scripts -o -path ./rust \) -prune -o \( -name '*.o' -o -name '*.a' \) -exec rm -f {} +
