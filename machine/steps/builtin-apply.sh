# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made, /xfd/project the checkout.
# Applies the hooks of upstream/linux-rust to the source, and copies the Rust code into it.
cd /xfd/kernel/tree
for patch in /xfd/project/upstream/linux-rust/*.patch; do
	patch -p1 --fuzz=0 <"$patch"
done
mkdir arch/x86/kernel/fpu/xfd_rust
cp -r /xfd/project/rust/xfd /xfd/project/rust/xstate /xfd/project/upstream/linux-rust/Makefile arch/x86/kernel/fpu/xfd_rust
