# SPDX-License-Identifier: GPL-2.0
# Installs our packages: installed.sh RELEASE
# Runs in a copy of the system, with the packages in /xfd/packages.
release=$1
# The kernel comes from the boot image. This is what its package would leave, without its modules.
mkdir -p "/usr/lib/modules/$release"
for name in builtin builtin.modinfo order; do
	touch "/usr/lib/modules/$release/modules.$name"
done
depmod "$release"
apt-get install -q -y --no-install-recommends -o APT::Sandbox::User=root \
	/xfd/packages/xfd-tools_*.deb "/xfd/packages/xfd-modules-$release"_*.deb
systemctl enable xfd.service
# Each build gets the same ID, and systemd does not take the boot for the first one.
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/lib/x86_64-linux-gnu/gconv /usr/share/info
