# SPDX-License-Identifier: GPL-2.0
# In a copy of the system, our packages are in /xfd/packages: RELEASE
release=$1
# The kernel comes from the boot image: as its package leaves it, but for modules.
mkdir -p "/usr/lib/modules/$release"
for name in builtin builtin.modinfo order; do
	touch "/usr/lib/modules/$release/modules.$name"
done
depmod "$release"
apt-get install -q -y --no-install-recommends -o APT::Sandbox::User=root \
	/xfd/packages/xfd-tools_*.deb "/xfd/packages/xfd-modules-$release"_*.deb
systemctl enable xfd.service
# The same in each build, and no first boot.
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/lib/x86_64-linux-gnu/gconv /usr/share/info
