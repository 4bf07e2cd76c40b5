#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` where the kernel was told not to use AMX or something that XFD needs: it says what is wrong, and
# which word on the command line is to blame.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

lines() { says 1 "^WRONG *XCR0 .*has not enabled tiles" && cure "boot without $word on the kernel's command line"; }
no_first_use() { no_line "^ok *permission" && no_line "^ok *first use"; }

word=$(grep -o -w -e 'clearcpuid=[^ ]*' -e noxsaves /proc/cmdline) || skip_all "this kernel's command line turns off neither AMX nor what XFD needs"
plan 3
check "the_reason_and_the_cure" lines
check "nothing_is_said_to_work" no_first_use
check "a_program_that_did_not_look" dies no-permission "no usable AMX" "fix what is wrong above"
finish
