#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` on a CPU whose CPUID shows only part of AMX, as under some hypervisors, or none of it: XFD_SHOWN
# says what is missing.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

# wrong ABOUT PATTERN CURE
wrong() { says 1 "^WRONG *$1 .*$2" && cure "$3"; }
program_did_not_look() { dies no-permission "no usable AMX" "fix what is wrong above"; }
nothing_works() { $DOCTOR >"$WORK/doctor"; no_line "^ok *permission" && no_line "^ok *first use" && no_line "^ok *XCR0"; }

case $XFD_SHOWN in
no_amx)
	plan 3
	check "no_amx" wrong processor "no AMX (CPUID.7.0:EDX\[24\] is 0)" "Sapphire Rapids"
	check "nothing_is_said_to_work" nothing_works
	check "a_program_that_did_not_look" program_did_not_look
	;;
no_palettes)
	# The kernel does not check them, and tiles work for a program that knows their shapes.
	plan 4
	check "no_palettes" wrong palettes "CPUID leaf 1DH is empty" "QEMU does from 7.0 on"
	check "first_use" says 1 "^ok *first use "
	check "a_program_that_looked" dies last-palette "tilezero tmm0: no tiles are configured, .*found no palette" "see palettes"
	check "a_program_that_did_not_look" says 1 "^ok *program " -- "$DIES" not
	;;
no_tile_state)
	plan 3
	check "no_tile_state" wrong XCR0 "reported without the registers' state.*(CPUID.DH.0:EAX is 0x[0-9a-f]*" "ARCH_REQ_XCOMP_GUEST_PERM"
	check "nothing_is_said_to_work" nothing_works
	check "a_program_that_did_not_look" program_did_not_look
	;;
no_xfd)
	plan 4
	check "no_xfd" wrong XFD "reported without XFD" "QEMU: -cpu host, or +xfd"
	check "xcr0" wrong XCR0 "has not enabled tiles" "fix XFD first"
	check "nothing_is_said_to_work" nothing_works
	check "a_program_that_did_not_look" program_did_not_look
	;;
*) skip_all "CPUID shows all of AMX" ;;
esac
finish
