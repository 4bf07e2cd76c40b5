# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made: LLVM JOBS
llvm=$1 jobs=$2
cd /xfd/kernel/tree
make -j"$jobs" LLVM="$llvm" bzImage modules_prepare
test -s rust/libkernel.rmeta
cp arch/x86/boot/bzImage /xfd/kernel/vmlinuz
make -s LLVM="$llvm" kernelrelease >/xfd/kernel/release
# The kernel has no modules: what they may use is in vmlinux.symvers.
cp vmlinux.symvers Module.symvers
# A module's build needs the tools, the headers and the Rust metadata.
rm -f vmlinux vmlinux.o vmlinux.unstripped vmlinux.a arch/x86/boot/bzImage .tmp_vmlinux*
find . \( -path ./tools -o -path ./scripts -o -path ./rust \) -prune -o \( -name '*.o' -o -name '*.a' \) -exec rm -f {} +
