#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# xfd-dkms on a host with the headers and compilers for kernel RELEASE from Debian package SOURCE. It is in /xfd/packages.
release=$1 source=$2
module=/usr/lib/modules/$release/updates/dkms/xfd.ko
. "$(dirname "$0")/packages_lib.sh"

dkms_of_xfd() { find /usr/src/xfd-* /var/lib/dkms/xfd /var/tmp/xfd* /tmp/xfd* "$module"* -maxdepth 0 2>/dev/null; }

apt update >/dev/null && apt install dkms "linux-headers-$release" || exit
# As the kernel's own package does.
depmod "$release"

says_what_is_missing() {
	apt install /xfd/packages/xfd-dkms_*.deb
	said=$(grep -h '^xfd: ' /var/lib/dkms/xfd/*/build/make.log)
	[[ $said == "xfd: no module for $release: its Rust metadata is built from the kernel's source: install $source of version "* ]] ||
		{ echo "$said"; return 1; }
	[ ! -e "$module" ]
}
builds() { apt install "$source" && apt -f install && dkms autoinstall -k "$release" && [ -s "$module" ]; }
serves_this_kernel() {
	[[ $(modinfo -F vermagic "$module") == "$release "* ]] && same "$(cat /usr/src/xfd-*/VERSION)" "$(modinfo -F version "$module")" &&
		modprobe -n -S "$release" xfd
}
keeps_no_tree() { same "" "$(find / -xdev -name libkernel.rmeta -not -path '/xfd/*')"; }
# RELEASE CONFIGURATION: DKMS uses status 77 for a kernel that the module does not support.
is_passed_over() {
	mkdir -p "/usr/lib/modules/$1/build" && echo "$2" >"/usr/lib/modules/$1/build/.config"
	dkms build -m xfd -v "$(cat /usr/src/xfd-*/VERSION)" -k "$1"
	same 77 $?
}
leaves_others_alone() { is_passed_over 6.12.1-amd64 CONFIG_RUST=y && is_passed_over 7.3.9-amd64 CONFIG_RUST=n; }
purges() { apt purge xfd-dkms && same "" "$(dkms_of_xfd)"; }

echo "TAP version 13"
echo "1..6"
check says_what_is_missing says_what_is_missing
check builds builds
check serves_this_kernel serves_this_kernel
check keeps_no_tree keeps_no_tree
check leaves_others_alone leaves_others_alone
check purges purges
