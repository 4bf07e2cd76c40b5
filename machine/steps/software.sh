# SPDX-License-Identifier: GPL-2.0
# In the root, /xfd/software is the piece being made: PACKAGES...
mkdir -p /xfd/software/dl/partial
cd /xfd/software
echo "== download"
# With what they depend on, as far as the root has not got it.
apt-get install -q -y --no-install-recommends --reinstall --download-only -o APT::Sandbox::User=root \
	-o Dir::Cache::archives=/xfd/software/dl "$@"
echo "== unpack"
for deb in dl/*.deb; do
	dpkg-deb -W "$deb"
	dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner --exclude='./usr/share/*'
done
rm -rf dl
