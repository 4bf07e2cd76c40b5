#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` on a kernel that is locked down further, and where module.sig_enforce is set. Neither can be undone,
# so this is the last test of its boot.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

grep -q "lockdown=integrity" /proc/cmdline || skip_all "changes lockdown for good: boot with lockdown=integrity"
LOCKDOWN=/sys/kernel/security/lockdown
[ -e $LOCKDOWN ] || mount -t securityfs securityfs /sys/kernel/security

refused() { ! insmod "$MODULE" 2>/dev/null; }
confidentiality() {
	echo confidentiality >$LOCKDOWN && refused && says 1 "^WRONG *lockdown .*locked down (confidentiality).*has refused a module" &&
		cure "sign xfd.ko"
}
enforced() {
	echo 1 >/sys/module/module/parameters/sig_enforce && refused &&
		says 1 "^WRONG *lockdown .*and module.sig_enforce is set.*Loading of unsigned module is rejected" &&
		cure "sign xfd.ko"
}

plan 2
check "lockdown_confidentiality" confidentiality
check "sig_enforce" enforced
finish
