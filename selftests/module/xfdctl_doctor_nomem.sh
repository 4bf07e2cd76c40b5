#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` when there is no memory for a buffer. Buffers are not subject to any limit, so a module
# built with CONFIG_XFD_FAULTS fails the allocation.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

PARAMETERS=/sys/module/xfd/parameters
[ -w $PARAMETERS/fail_allocations ] || skip_all "this module was built without CONFIG_XFD_FAULTS"

# without_memory COMMAND ARGS...: runs it while allocations fail and no buffer is kept for the next first use.
without_memory() {
	pool=$(cat $PARAMETERS/pool)
	echo 0 >$PARAMETERS/pool && until_true 30 none_is_kept && echo 100 >$PARAMETERS/fail_allocations || return
	"$@"
	outcome=$?
	echo 0 >$PARAMETERS/fail_allocations && echo "$pool" >$PARAMETERS/pool && return $outcome
}
none_is_kept() { [ "$(pooled)" = 0 ]; }

# The doctor's own first use.
first_use() { says 1 "^WRONG *first use .*died of SIGSEGV.*no memory for its buffer" && cure "free memory"; }
ends_well() { says 0 "^ok *program .* asked for tiles and got them" -- "$DIES" not; }

plan 3
check "the_doctors_first_use" without_memory first_use
check "the_programs_first_use" without_memory dies not "tilezero tmm0: the kernel had no memory" "free memory"
check "with_memory" ends_well
finish
