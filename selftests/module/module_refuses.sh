#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Where it cannot work, the module refuses to load: one line in the log, a fitting errno, and
# nothing changed. The kernel's command line determines which refusal to expect.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"

no_xfd="xfd: not loaded: this CPU has no XFD (CPUID 0DH.1:EAX[4]), or the kernel was told not to use it; it needs a CPU with AMX"
read -r cmdline </proc/cmdline
case " $cmdline " in
*" clearcpuid=324 "*)	# X86_FEATURE_XFD, bit 4 of the kernel's word 10, which has no name there
	errno="No such device"
	line=$no_xfd
	;;
*" clearcpuid=amx_tile "*)
	errno="No such device"
	line="xfd: not loaded: the kernel offers no dynamic xfeature here; boot without noxsave, noxsaves and clearcpuid"
	;;
*" lockdown="*)	# the kernel itself refuses unsigned modules
	errno="Operation not permitted"
	line=""
	;;
*)
	# Without these the kernel does not use XFD.
	grep -qw xsaves /proc/cpuinfo && grep -qw xgetbv1 /proc/cpuinfo &&
		skip_all "nothing to refuse: boot with clearcpuid=324, clearcpuid=amx_tile, noxsaves or lockdown=integrity"
	errno="No such device"
	line=$no_xfd
	;;
esac

# insmod's error message ends with the errno's text.
refused() {
	if error=$(insmod "$MODULE" 2>&1); then
		rmmod xfd
		echo "insmod did not fail"
		return 1
	fi
	same "errno" "$errno" "${error##*: }"
}

# busybox's insmod tries both system calls, and so is refused twice.
says_why() {
	same "kernel log" "$line" "$(log_of_module | uniq)"
}

nothing_changed() {
	nothing_remains && XFD_MODULE='' "$HERE/xcomp_api" || return
	# Status 4: skipped, because there are no tiles.
	XFD_MODULE='' "$HERE/amx_matmul" || [ $? -eq 4 ]
}

plan 3
log_mark
check "is_refused" refused
check "says_why" says_why
check "nothing_changed" nothing_changed
finish
