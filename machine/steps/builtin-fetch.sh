# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made, /xfd/project the checkout: SOURCE-PACKAGE VERSION MAKE-ARGUMENT...
# The source with the hooks of upstream/linux-rust, the Rust code below them, and a configuration: /xfd/kernel/fragment on top of
# tinyconfig.
source=$1 version=$2
shift 2
mkdir -p /xfd/kernel/dl /xfd/kernel/tree /xfd/kernel/modules
cd /xfd/kernel/dl
apt-get download -q -o APT::Sandbox::User=root "$source=$version"
dpkg-deb --fsys-tarfile "$source"_*.deb | tar -xO "./usr/src/$source.tar.xz" | xz -dc -T0 |
	tar -x -C /xfd/kernel/tree --strip-components=1 --no-same-owner
cd /xfd/kernel/tree
rm -rf /xfd/kernel/dl
for patch in /xfd/project/upstream/linux-rust/*.patch; do
	patch -p1 --fuzz=0 <"$patch"
done
mkdir arch/x86/kernel/fpu/xfd_rust
cp -r /xfd/project/rust/xfd /xfd/project/rust/xstate /xfd/project/upstream/linux-rust/Makefile arch/x86/kernel/fpu/xfd_rust
make "$@" tinyconfig
scripts/kconfig/merge_config.sh -m .config /xfd/kernel/fragment
make "$@" olddefconfig
