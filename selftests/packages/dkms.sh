#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# xfd-dkms on a host with the headers and compilers of the kernel RELEASE, of Debian's package SOURCE. It is in /xfd/packages.
release=$1 source=$2
log=/var/lib/dkms/xfd/*/build/make.log
module=/usr/lib/modules/$release/updates/dkms/xfd.ko
. "$(dirname "$0")/packages_lib.sh"

dkms_of_xfd() { find /usr/src/xfd-* /var/lib/dkms/xfd /var/tmp/xfd* /tmp/xfd* "$module"* -maxdepth 0 2>/dev/null; }

apt update >/dev/null && apt install dkms "linux-headers-$release" || exit

says_what_is_missing() {
	apt install /xfd/packages/xfd-dkms_*.deb
	# shellcheck disable=SC2086
	said=$(grep -h '^xfd: ' $log)
	[[ $said == "xfd: no module for $release: its Rust metadata is made from its source: install $source of version "* ]] ||
		{ echo "$said"; return 1; }
	[ ! -e "$module" ]
}
builds() { apt install "$source" && apt -f install && dkms autoinstall -k "$release" && [ -s "$module" ]; }
is_for_the_kernel() {
	[[ $(modinfo -F vermagic "$module") == "$release "* ]] && same "$(cat /usr/src/xfd-*/VERSION)" "$(modinfo -F version "$module")" &&
		modprobe -n -S "$release" xfd
}
keeps_no_tree() { same "" "$(find / -xdev -name libkernel.rmeta -not -path '/xfd/*')"; }
# Another series: DKMS passes it over.
leaves_others_alone() {
	mkdir -p /usr/lib/modules/6.12.1-amd64/build && echo "CONFIG_RUST=y" >/usr/lib/modules/6.12.1-amd64/build/.config
	dkms autoinstall -k 6.12.1-amd64
	same "" "$(find /usr/lib/modules/6.12.1-amd64 -name 'xfd.ko*')"
}
purges() { apt purge xfd-dkms && same "" "$(dkms_of_xfd)"; }

echo "TAP version 13"
echo "1..6"
check says_what_is_missing says_what_is_missing
check builds builds
check is_for_the_kernel is_for_the_kernel
check keeps_no_tree keeps_no_tree
check leaves_others_alone leaves_others_alone
check purges purges
