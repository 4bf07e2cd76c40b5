# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made: SOURCE-PACKAGE VERSION LLVM
# The source, and a configuration: /xfd/kernel/fragment on top of tinyconfig.
source=$1 version=$2 llvm=$3
mkdir -p /xfd/kernel/dl /xfd/kernel/tree /xfd/kernel/modules
cd /xfd/kernel/dl
apt-get download -q -o APT::Sandbox::User=root "$source=$version"
dpkg-deb --fsys-tarfile "$source"_*.deb | tar -xO "./usr/src/$source.tar.xz" | xz -dc -T0 |
	tar -x -C /xfd/kernel/tree --strip-components=1 --no-same-owner
cd /xfd/kernel/tree
rm -rf /xfd/kernel/dl
make LLVM="$llvm" tinyconfig
scripts/kconfig/merge_config.sh -m .config /xfd/kernel/fragment
make LLVM="$llvm" olddefconfig
