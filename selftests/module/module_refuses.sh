#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What the module can not work with it refuses at insmod: one line in the log, an errno that
# fits, and everything as before. Which refusal is to be seen, the kernel's command line tells.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

NO_XFD="xfd: not loaded: this CPU has no XFD (CPUID 0DH.1:EAX[4]), or the kernel was told not to use it; it needs a CPU with AMX"
NO_DYNAMIC="xfd: not loaded: the kernel offers no dynamic xfeature here; boot without noxsave, noxsaves and clearcpuid"

is_loaded && bail_out "the module is loaded: this test loads it itself"

# insmod's complaint ends with the errno, in words.
refused_with() {
	if error=$(insmod "$MODULE" 2>&1); then
		rmmod xfd
		echo "insmod did not fail"
		return 1
	fi
	same "errno" "$1" "${error##*: }"
}

# busybox's insmod tries both of the system calls for it, and so is refused twice.
log_is() {
	same "kernel log" "$1" "$(log_of_module | uniq)"
}

read -r cmdline </proc/cmdline
case " $cmdline " in
*" clearcpuid="* | *" lockdown="*) ;;
*) skip_all "nothing to refuse: boot with clearcpuid=324, clearcpuid=amx_tile or lockdown=integrity" ;;
esac

plan 3
log_mark
case " $cmdline " in
*" clearcpuid=324 "*)	# X86_FEATURE_XFD, bit 4 of the kernel's word 10; it has no name there
	check "refused_without_xfd" refused_with "No such device"
	check "and_says_why" log_is "$NO_XFD"
	;;
*" clearcpuid=amx_tile "*)
	check "refused_without_amx" refused_with "No such device"
	check "and_says_why" log_is "$NO_DYNAMIC"
	;;
*" lockdown="*)
	# The kernel itself refuses what is not signed, and says so.
	check "refused_under_lockdown" refused_with "Operation not permitted"
	check "and_says_why" log_is ""
	;;
esac

nothing_changed() {
	nothing_remains && XFD_MODULE='' "$HERE/xcomp_api" || return
	# Status 4: it was skipped, where there are no tiles.
	XFD_MODULE='' "$HERE/amx_matmul" || [ $? -eq 4 ]
}
check "nothing_changed" nothing_changed
finish
