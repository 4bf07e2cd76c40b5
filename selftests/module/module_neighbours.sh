#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Livepatches of the functions that the module hooks, and of neighbouring ones: later ones take effect, and an
# earlier one is not undone.
. "$(dirname "$(readlink -f "$0")")/neighbours_lib.sh"

RIVAL=${RIVAL_KO:-/lib/rival.ko}
RIVAL_PATCH=/sys/kernel/livepatch/rival

is_loaded && bail_out "the module is loaded: this test loads it itself"
[ -f "$RIVAL" ] || skip_all "no $RIVAL"
kvm_modules || skip_all "no KVM"

rival_settled() { [ "$(cat $RIVAL_PATCH/transition 2>/dev/null)" = 0 ]; }
rival_gone() { [ ! -d $RIVAL_PATCH ]; }
# rival FUNCTION...: the rival's version of each is in effect.
rival() {
	insmod "$RIVAL" how=livepatch functions="$(echo "$*" | tr ' ' ,)" && until_true 30 rival_settled
}
rival_away() { echo 0 >$RIVAL_PATCH/enabled && until_true 30 rival_gone && rmmod rival; }

# each_is_called FUNCTION...: a run that uses all of them calls the rival's version of each.
calls() { tr , '\n' </sys/module/rival/parameters/calls | head -n "$1"; }
each_is_called() {
	calls $# >"$WORK/before" && uses_everything && calls $# >"$WORK/after" || return
	for function in "$@"; do
		echo "$function"
	done | paste - "$WORK/before" "$WORK/after" | tee "$WORK/all"
	! awk '$2 == $3' "$WORK/all" | grep .
}

# The module is refused while a livepatch of $1 is loaded. busybox's insmod tries twice.
refused_behind() {
	rival "$1" || return
	log_mark
	! insmod "$MODULE" || return
	same "kernel log" "xfd: not loaded: another livepatch replaces $1, which this one would undo; disable it first (/sys/kernel/livepatch)" \
		"$(log_of_module | uniq)" && nothing_remains && each_is_called "$1"
	outcome=$?
	rival_away && return $outcome
}

beside() {
	rival $NEIGHBOURS && load && each_is_called $NEIGHBOURS && module_serves
	outcome=$?
	unload && each_is_called $NEIGHBOURS && rival_away && return $outcome
}

# A later livepatch of all of them, unloaded first.
later() {
	load && rival $HOOKED $NEIGHBOURS && each_is_called $HOOKED $NEIGHBOURS || return
	rival_away && uses_everything && module_serves && unload && nothing_remains
}
# The same, unloaded last.
later_and_stays() {
	load && rival $HOOKED $NEIGHBOURS && unload && nothing_remains && each_is_called $HOOKED $NEIGHBOURS &&
		rival_away && kernel_serves
}

# The module answers no requests while a later livepatch does.
denied() {
	load && insmod "$RIVAL" how=denies && until_true 30 rival_settled || return
	! "$HERE/xfd_exec_storm" 1
	outcome=$?
	rival_away && module_serves && unload && return $outcome
}

tidy() {
	[ ! -d /sys/module/rival ] || { echo 0 >$RIVAL_PATCH/enabled; until_true 30 rival_gone && rmmod rival; }
	! is_loaded || unload
}

plan 9
for function in $HOOKED; do
	check "refused_behind_one_of_$function" refused_behind "$function"
	tidy 2>/dev/null
done
for order in beside later later_and_stays denied; do
	check "livepatch_$order" $order
	tidy 2>/dev/null
done
check "the_kernel_serves" kernel_serves
finish
