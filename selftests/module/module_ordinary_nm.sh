#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# An #NM not raised by XFD goes to the kernel's own handler, which warns and clears CR0.TS. The
# warning is expected in this boot's log (see scenarios.toml).
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

plan 4
is_loaded || bail_out "the module is not loaded"
handed_over=$(counter ordinary_nm)
first_uses=$(counter first_uses)
log_mark

# Loading it always fails with EAGAIN, once CR0.TS is set.
insmod /lib/cr0_ts.ko 2>/dev/null
# Uses floating point, which raises #NM unless something else already did.
awk 'BEGIN { exit !(1.5 * 2 == 3) }'
computed=$?

check "the_program_goes_on" same "status of a computation" 0 $computed
# The kernel warned for every #NM it was handed, from user or kernel mode.
warnings=$(dmesg | grep -c "WARNING: .* at exc_device_not_available")
check "each_was_handed_over" same ordinary_nm $((handed_over + warnings)) "$(counter ordinary_nm)"
check "none_was_a_first_use" same first_uses $first_uses "$(counter first_uses)"
check "the_kernel_handled_it" [ "$warnings" -ge 1 ]
finish
