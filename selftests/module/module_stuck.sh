#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Nothing can be detached (CONFIG_XFD_FAULTS, fail_detach): the module says so, stays loaded, keeps serving, and
# cannot be unloaded. The last test of its boot.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

MODULE=${XFD_KO_FAULTS:-/lib/xfd_faults.ko}
FAIL=/sys/module/xfd/parameters/fail_detach

is_loaded && bail_out "the module is loaded: this test loads it itself"
[ -f "$MODULE" ] || skip_all "no $MODULE: the module with CONFIG_XFD_FAULTS"

says_so() {
	[ "$(log_of_module | grep -c "^xfd: .* cannot be detached .*: the module stays loaded")" = 1 ] && return
	log_of_module
	return 1
}
stays() { ! rmmod xfd && is_loaded; }
# Its livepatch is gone: the livepatch core has given those functions back.
disabled() { echo 1 >$FAIL && echo 0 >$PATCH/enabled && until_true 30 is_unpatched; }
served() { "$HERE/amx_round" && module_serves; }
no_second() { ! insmod "$MODULE" 2>/dev/null && is_loaded; }

plan 8
log_mark
check "is_disabled" eval "load && disabled"
check "says_that_it_stays" says_so
check "stays" stays
check "serves_on" served
check "stays_with_tasks_in_it" eval "amx_start && stays && amx_stop"
check "no_second_one_is_loaded" no_second
echo 0 >$FAIL
check "still_stays_when_it_could_be_detached" stays
check "serves_on_after_that" served
finish
