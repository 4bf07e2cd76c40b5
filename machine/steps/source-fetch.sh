# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/kernel is the piece being made: SOURCE-PACKAGE VERSION
# The source, unpacked.
source=$1 version=$2
mkdir -p /xfd/kernel/dl /xfd/kernel/tree /xfd/kernel/modules
cd /xfd/kernel/dl
apt-get download -q -o APT::Sandbox::User=root "$source=$version"
dpkg-deb --fsys-tarfile "$source"_*.deb | tar -xO "./usr/src/$source.tar.xz" | xz -dc -T0 |
	tar -x -C /xfd/kernel/tree --strip-components=1 --no-same-owner
rm -rf /xfd/kernel/dl
