#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` on a kernel locked down by its command line, so that it loads only signed modules. It must be the
# first test in its boot to load one, because a refusal stays in the kernel log.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

grep -q "lockdown=integrity" /proc/cmdline || skip_all "this kernel was not locked down: boot with lockdown=integrity"
LOCKED="locked down (integrity), so it loads only signed modules"

securityfs() { [ -e /sys/kernel/security/lockdown ] || mount -t securityfs securityfs /sys/kernel/security; }
by_the_log() { says 0 "^note *lockdown .*the kernel is locked down, so it loads only signed modules" && cure "XFD_SIGN_KEY"; }
untried() { securityfs && says 0 "^note *lockdown .*$LOCKED" && cure "XFD_SIGN_KEY"; }
refused() {
	! insmod "$MODULE" 2>/dev/null && says 1 "^WRONG *lockdown .*$LOCKED; it has refused a module.*Lockdown: " &&
		cure "sign xfd.ko .*mokutil --import"
}

# packaging/xfd-module
loader_says_why() {
	! "$HERE/load" >"$WORK/out" 2>&1 && cat "$WORK/out" && [ "$(wc -l <"$WORK/out")" = 1 ] &&
		grep -q "^xfd: not loaded: this kernel loads only modules with a signature .*xfdctl doctor" "$WORK/out"
}

plan 4
check "without_securityfs" by_the_log
check "it_was_not_tried" untried
check "it_was_refused" refused
check "loader_says_why" loader_says_why
finish
