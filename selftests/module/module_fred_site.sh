#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# While the module is enabled, every path to the kernel's #NM handler leads to the module's instead, including
# FRED's. The test reads the kernel's text, since not every machine has FRED.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
grep -q " fred_hwexc" /proc/kallsyms || skip_all "the kernel lacks FRED"
[ -n "$("$HERE/kernel_look" calls=asm_exc_device_not_available)" ] || skip_all "the kernel's text cannot be read (/proc/kcore)"
KERNELS=exc_device_not_available
OURS=xfd_nm_entry
FAULTS=${XFD_KO_FAULTS:-/lib/xfd_faults.ko}

# all_lead TARGET: the one reference to a handler, the kernel's or ours, in each of the two functions is TARGET.
all_lead() {
	same "references" "asm_exc_device_not_available: call $1
fred_hwexc: jmp $1" "$("$HERE/kernel_look" calls=asm_exc_device_not_available calls=fred_hwexc | grep -E " ($KERNELS|$OURS)$")"
}

# On a CPU with FRED the module loads only if no other function refers to the handler.
load_as_with_fred() {
	[ -f "$FAULTS" ] || { echo "no $FAULTS"; return 1; }
	insmod "$FAULTS" fred=1 && until_true 30 is_settled
}

plan 8
check "the_kernels_handler_at_first" all_lead $KERNELS
check "load" load
check "the_modules_handler_then" all_lead $OURS
check "unload" unload
check "the_kernels_handler_again" all_lead $KERNELS
check "load_as_with_fred" load_as_with_fred
check "the_modules_handler_with_fred" all_lead $OURS
check "unload_again" unload
finish
