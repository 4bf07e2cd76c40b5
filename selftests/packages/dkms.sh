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

# dkms skips the kernel, so the installation succeeds.
says_what_is_missing() {
	said=$(apt install /xfd/packages/xfd-dkms_*.deb 2>&1) || { echo "$said"; return 1; }
	same ii "$(dpkg-query -W -f '${db:Status-Abbrev}' xfd-dkms | tr -d ' ')" && [ ! -e "$module" ] || return
	same "xfd: no module for $release: its Rust metadata is built from the kernel's source: install $source of version" \
		"$(grep '^xfd: ' <<<"$said" | sed 's/ [^ ]*$//')"
}
is_passed_over_without_it() { dkms build -m xfd -v "$(cat /usr/src/xfd-*/VERSION)" -k "$release"; same 77 $?; }
builds() { apt install "$source" && dkms autoinstall -k "$release" && [ -s "$module" ]; }
# A build that a signal ends while it unpacks the kernel.
is_ended() {
	copy=$(mktemp -d) && cp -r /usr/src/xfd-*/. "$copy" || return
	(cd "$copy" && exec sh dkms-build "$release") &
	build=$!
	until [ -e "$copy/kernel/Makefile" ]; do kill -0 $build || return; sleep 0.1; done
	kill -TERM $build
	wait $build
	same 143 $? && [ ! -e "$copy/kernel" ]
	ended=$?
	rm -rf "$copy"
	return $ended
}
serves_this_kernel() {
	[[ $(modinfo -F vermagic "$module") == "$release "* ]] && same "$(cat /usr/src/xfd-*/VERSION)" "$(modinfo -F version "$module")" &&
		modprobe -n -S "$release" xfd
}
# COMMAND ARGS...: as on a host with systemd that runs this kernel. /tmp/service has what it asks of the service, and
# whether modprobe finds the module at that moment.
booted() {
	mkdir -p /run/systemd/system /tmp/stubs
	echo "[ \"\$*\" = -r ] && echo $release || exec /usr/bin/uname \"\$@\"" >/tmp/stubs/uname
	echo "modprobe -n -q -S $release xfd && found=found; echo \"\$* \$found\" >>/tmp/service" >/tmp/stubs/deb-systemd-invoke
	sed -i '1i#!/bin/sh' /tmp/stubs/* && chmod +x /tmp/stubs/* && : >/tmp/service
	PATH=/tmp/stubs:$PATH "$@"
	outcome=$?
	rmdir /run/systemd/system
	return $outcome
}
restarts_the_service() {
	mv "$module" /tmp && depmod "$release" && mv "/tmp/${module##*/}" "$module" || return
	kernelver=$release booted sh /usr/src/xfd-*/dkms-installed && same "try-restart xfd.service found" "$(cat /tmp/service)"
}
keeps_no_tree() { same "" "$(find / -xdev -name libkernel.rmeta -not -path '/xfd/*')"; }
# RELEASE CONFIGURATION: DKMS uses status 77 for a kernel that the module does not support.
is_passed_over() {
	mkdir -p "/usr/lib/modules/$1/build" && echo "$2" >"/usr/lib/modules/$1/build/.config"
	dkms build -m xfd -v "$(cat /usr/src/xfd-*/VERSION)" -k "$1"
	same 77 $?
}
leaves_others_alone() { is_passed_over 6.12.1-amd64 CONFIG_RUST=y && is_passed_over 7.3.9-amd64 CONFIG_RUST=n; }
purges() {
	booted dpkg --purge xfd-dkms && same "stop xfd.service found" "$(cat /tmp/service)" && same "" "$(dkms_of_xfd)"
}

echo "TAP version 13"
echo "1..9"
check says_what_is_missing says_what_is_missing
check is_passed_over_without_it is_passed_over_without_it
check builds builds
check serves_this_kernel serves_this_kernel
check is_ended is_ended
check restarts_the_service restarts_the_service
check keeps_no_tree keeps_no_tree
check leaves_others_alone leaves_others_alone
check purges purges
