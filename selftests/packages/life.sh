#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The packages' life cycle, with apt in a fresh Debian system: RELEASE VERSION NEXT-VERSION. The packages are in
# /xfd/old, and those of a later version in /xfd/new. No module is loaded, since the running kernel is the host's.
release=$1 version=$2 next=$3
module=xfd-modules-$release
modules=/usr/lib/modules/$release
conf=/etc/modprobe.d/xfd.conf
enabled=/etc/systemd/system/multi-user.target.wants/xfd.service
. "$(dirname "$0")/packages_lib.sh"

old=(/xfd/old/xfd-tools_*.deb "/xfd/old/$module"_*.deb)
new=(/xfd/new/xfd-tools_*.deb "/xfd/new/$module"_*.deb)

# Every file, except what apt and dpkg remember of earlier packages, and times.
all_files() {
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /xfd -o -path /var/lib/apt -o -path /var/cache/apt \
		-o -path /var/log -o -path /var/lib/dpkg/status-old -o -path /var/cache/ldconfig \) -prune -o -print | sort
}
contents() { sha256sum /etc/passwd /etc/group /var/lib/dpkg/diversions /var/lib/dpkg/statoverride; }

# As a kernel package does.
mkdir -p "$modules"
touch "$modules/modules.builtin" "$modules/modules.builtin.modinfo" "$modules/modules.order"
depmod "$release"
before=$(all_files) before_contents=$(contents)

installs() { apt install "${old[@]}"; }
is_installed() { same "$1" "$(dpkg-query -W -f '${Version}' xfd-tools)" && same "$1" "$(dpkg-query -W -f '${Version}' "$module")"; }
is_not_enabled() { same disabled "$(systemctl is-enabled xfd)" && [ ! -e $enabled ]; }
# Neither by udev nor by systemd-modules-load.
loads_nothing() {
	places=(/etc/modules /etc/modules-load.d /usr/lib/modules-load.d /usr/lib/udev /etc/udev /etc/initramfs-tools)
	same "" "$(modinfo -k "$release" -F alias xfd)" && same "" "$(grep -rls xfd "${places[@]}")"
}
modprobe_finds_it() {
	same "insmod /lib/modules/$release/updates/xfd.ko" "$(modprobe -S "$release" -D xfd | sed 's/ *$//')"
}
says_its_version() { same "xfdctl $version" "$(xfdctl --version)" && same "$version" "$(modinfo -k "$release" -F version xfd)"; }
# systemd-analyze does not complain about the unit file, on a system running another kernel.
unit_is_sound() { same "" "$(systemd-analyze verify --man=no xfd.service 2>&1)"; }
has_pages() {
	for file in man/man1/xfdctl.1.gz man/man1/xfdctl-doctor.1.gz bash-completion/completions/xfdctl; do
		dpkg -L xfd-tools | grep -q "/usr/share/$file$" || { echo "no $file"; return 1; }
	done
}
# There is no module for the running kernel: one line of output, and the status that makes systemd skip it.
says_that_there_is_none() {
	said=$(/usr/libexec/xfd/xfd-module available 2>&1)
	same 1 $? && same 1 "$(wc -l <<<"$said")" && [[ $said == "xfd: no module for the kernel $(uname -r): "* ]] || { echo "$said"; return 1; }
}
refuses() {
	said=$(/usr/libexec/xfd/xfd-module "$@" 2>&1) && { echo "it succeeded: $*"; return 1; }
	same 1 "$(wc -l <<<"$said")" && [[ $said == xfd:* ]] || { echo "$said"; return 1; }
}
refuses_wrong_use() { refuses && refuses reload && refuses unload now; }

keeps_what_was_changed() {
	echo "options xfd pool=3" >>$conf && systemctl enable xfd && apt install "${new[@]}" && is_installed "$next" &&
		grep -q "pool=3$" $conf && same enabled "$(systemctl is-enabled xfd)"
}
# Each kernel's module is a separate package.
goes_beside_another() {
	apt install /xfd/new/xfd-modules-9.9.9-none_*.deb && is_installed "$next" && [ -e /usr/lib/modules/9.9.9-none/updates/xfd.ko ] &&
		apt purge xfd-modules-9.9.9-none && [ ! -e /usr/lib/modules/9.9.9-none ] && is_installed "$next"
}
# Only the tools are removed; the module can still be loaded without them.
removes_tools() {
	apt remove xfd-tools && [ -e $conf ] && [ ! -e /usr/lib/systemd/system/xfd.service ] && [ -e "$modules/updates/xfd.ko" ]
}
removes_the_module() { apt remove "$module" && [ ! -e "$modules/updates" ] && ! grep -q xfd "$modules/modules.dep"; }
purges() {
	apt purge xfd-tools "$module" || return
	# `diff` shows what was left behind.
	diff <(echo "$before") <(all_files) && same "$before_contents" "$(contents)"
}
# The module's package stays installed while its kernel is not installed.
waits_for_its_kernel() {
	mv "$modules" /tmp/kernel
	apt install "${new[@]}" && same "$modules/updates
$modules/updates/xfd.ko" "$(find "$modules" -mindepth 1 | sort)" && apt purge xfd-tools "$module" && [ ! -e "$modules" ]
}

echo "TAP version 13"
echo "1..16"
check installs installs
check is_installed is_installed "$version"
check is_not_enabled is_not_enabled
check loads_nothing loads_nothing
check modprobe_finds_it modprobe_finds_it
check says_its_version says_its_version
check unit_is_sound unit_is_sound
check has_pages has_pages
check says_that_there_is_none says_that_there_is_none
check refuses_wrong_use refuses_wrong_use
check keeps_what_was_changed keeps_what_was_changed
check goes_beside_another goes_beside_another
check removes_tools removes_tools
check removes_the_module removes_the_module
check purges purges
check waits_for_its_kernel waits_for_its_kernel
