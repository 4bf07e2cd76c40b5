#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Every way that leads to the kernel's handler of #NM leads to the module's while it is enabled, FRED's too:
# read from the kernel's text, since the machine has no FRED.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

is_loaded && bail_out "the module is loaded: this test loads it itself"
grep -q " fred_hwexc" /proc/kallsyms || skip_all "a kernel without FRED"
KERNELS=exc_device_not_available
OURS=xfd_nm_entry

# leads FUNCTION KIND TARGET: its one reference to either of the two.
leads() { same "$1" "$2 $3" "$("$HERE/kernel_look" calls "$1" | grep -E " ($KERNELS|$OURS)$")"; }
all_lead() { leads asm_exc_device_not_available call "$1" && leads fred_hwexc jmp "$1"; }

# No other function of the kernel's entry text calls it; whoever stands there later is found by that.
plan 5
check "the_kernels_handler_at_first" all_lead $KERNELS
check "load" load
check "the_modules_handler_then" all_lead $OURS
check "unload" unload
check "the_kernels_handler_again" all_lead $KERNELS
finish
