#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The debug kernel detects a bug caused by the kernel's own crash test (LKDTM).
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

CRASH=/sys/kernel/debug/provoke-crash/DIRECT
[ -e $CRASH ] || skip_all "no $CRASH: this is not the debug kernel"

plan 1

use_after_free() {
	echo READ_AFTER_FREE >$CRASH
	dmesg | grep -q "BUG: KASAN: .* in lkdtm_READ_AFTER_FREE"
}
check "use_after_free" use_after_free
finish
