#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` when there is no memory for a buffer: no limit reaches it, so the module, built with faults, finds none.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

FAIL=/sys/module/xfd/parameters/fail_allocations
[ -w $FAIL ] || skip_all "this module is built without faults"

# The first use is the doctor's own, the second one the program's.
first_use() {
	echo 1 >$FAIL && says 1 "^WRONG *first use .*died of SIGSEGV.*no memory for its buffer" && cure "free memory"
}
program() { echo 2 >$FAIL && dies not "tilezero tmm0: the kernel had no memory" "free memory"; }
ends_well() { says 0 "^ok *program .* asked for tiles and got them" -- "$DIES" not; }

plan 3
check "the_doctors_first_use" first_use
check "the_programs_first_use" program
check "the_next_one_is_served" ends_well
finish
