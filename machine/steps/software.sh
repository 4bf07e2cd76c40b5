# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/software is the piece being made: PACKAGES... -- FILES-OF-SHARE...
mkdir -p /xfd/software/dl/partial
cd /xfd/software
packages=
while [ "$1" != -- ]; do
	packages="$packages $1"
	shift
done
shift
echo "== download"
# With what they depend on, as far as the root has not got it.
apt-get install -q -y --no-install-recommends --reinstall --download-only -o APT::Sandbox::User=root \
	-o Dir::Cache::archives=/xfd/software/dl $packages
echo "== unpack"
for deb in dl/*.deb; do
	dpkg-deb -W "$deb"
	dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner
done
tar -cf data.tar -T /dev/null "$@"
rm -rf dl usr/share
tar -xf data.tar --no-same-owner
rm data.tar
