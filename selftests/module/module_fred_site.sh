#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Every way that leads to the kernel's handler of #NM leads to the module's while it is enabled, FRED's too:
# read from the kernel's text, since the machine has no FRED.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
grep -q " fred_hwexc" /proc/kallsyms || skip_all "a kernel without FRED"
KERNELS=exc_device_not_available
OURS=xfd_nm_entry

# all_lead TARGET: the one reference that each of the two has to the kernel's handler or to ours.
all_lead() {
	same "references" "asm_exc_device_not_available: call $1
fred_hwexc: jmp $1" "$("$HERE/kernel_look" calls=asm_exc_device_not_available calls=fred_hwexc | grep -E " ($KERNELS|$OURS)$")"
}

plan 5
check "the_kernels_handler_at_first" all_lead $KERNELS
check "load" load
check "the_modules_handler_then" all_lead $OURS
check "unload" unload
check "the_kernels_handler_again" all_lead $KERNELS
finish
