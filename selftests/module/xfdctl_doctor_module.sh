#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What `xfdctl doctor` says about the module: whether it is loaded and in charge, and if not, why.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

RIVAL=${RIVAL_KO:-/lib/rival.ko}
RIVAL_PATCH=/sys/kernel/livepatch/rival

is_loaded && bail_out "the module is loaded: this test loads it itself"
[ -f "$RIVAL" ] || skip_all "no $RIVAL"

# module_is STATE PATTERN; a module that is not needed is not an error.
module_is() { says 0 "^$1 *module .*$2"; }
module_is_wrong() { says 1 "^WRONG *module .*$1" && cure "$2"; }

not_installed() { module_is note "xfd is not installed"; }

# installed RELEASE PATTERN: with xfd.ko among that kernel release's modules.
installed() {
	mkdir -p "/lib/modules/$1" && echo "updates/xfd.ko.xz:" >"/lib/modules/$1/modules.dep" || return
	module_is note "$2"
	outcome=$?
	rm "/lib/modules/$1/modules.dep" && rmdir "/lib/modules/$1" && return $outcome
}
for_this_kernel() { installed "$(uname -r)" "installed but not loaded.*modprobe xfd"; }
for_another_kernel() {
	installed 6.18.0-other "installed for 6.18.0-other, but this kernel is $(uname -r)" && cure "make host"
}

in_charge() { load && module_is ok "handles first uses"; }
disabled() {
	echo 0 >$PATCH/enabled && until_true 30 is_unpatched && module_is note "loaded but disabled.*rmmod xfd, then modprobe"
}
removed() { rmmod xfd && module_is note "own code handles first uses"; }

rival_settled() { [ "$(cat $RIVAL_PATCH/transition 2>/dev/null)" = 0 ]; }
rival_gone() { [ ! -d $RIVAL_PATCH ]; }
rival_livepatch() { insmod "$RIVAL" how="$1" && until_true 30 rival_settled; }
rival_livepatch_away() { echo 0 >$RIVAL_PATCH/enabled && until_true 30 rival_gone && rmmod rival; }

# Following the advice works.
replaced() {
	load && rival_livepatch cumulative && until_true 30 is_unpatched &&
		module_is_wrong "only partly in charge: the cumulative livepatch rival has replaced its functions" "rmmod xfd, then modprobe xfd" &&
		rmmod xfd && load && module_is ok "handles first uses" && unload
	outcome=$?
	rival_livepatch_away && return $outcome
}

# Another livepatch has the function; in the module's own message the advice follows a semicolon.
in_the_way() {
	rival_livepatch livepatch || return
	! insmod "$MODULE" 2>/dev/null &&
		module_is_wrong "not loaded: another livepatch replaces fpu_xstate_prctl" "disable it first"
	outcome=$?
	rival_livepatch_away && return $outcome
}
mended() { in_charge && unload && module_is note "own code handles first uses"; }

# changed OLD NEW PATTERN: a copy of the module that looks built for another kernel is refused.
changed() {
	sed "s/$1/$2/g" "$MODULE" >"$WORK/xfd.ko" && ! insmod "$WORK/xfd.ko" 2>/dev/null && module_is_wrong "$3" "make host"
}
other_version() {
	release=$(uname -r)
	changed "vermagic=$release" "vermagic=$(echo "$release" | tr '[0-9]' 9)" "kernel's reason: version magic '9.*should be '$release"
}
other_symbols() { changed klp_enable_patch klp_enable_patcX "kernel's reason: Unknown symbol klp_enable_patcX"; }
not_its_symbols() {
	sed "s/get_sigframe_size/get_sigframe_sizX/g" "$MODULE" >"$WORK/xfd.ko" && ! insmod "$WORK/xfd.ko" 2>/dev/null &&
		module_is_wrong "not loaded: this kernel has no symbol get_sigframe_sizX" "build the module for this kernel"
}

plan 12
check "not_installed" not_installed
check "installed_and_not_loaded" for_this_kernel
check "installed_for_another_kernel" for_another_kernel
check "in_charge" in_charge
check "disabled" disabled
check "removed" removed
check "replaced_by_a_cumulative_livepatch" replaced
check "refused_for_another_livepatch" in_the_way
check "built_for_another_version" other_version
check "built_against_other_symbols" other_symbols
check "needs_what_the_kernel_lacks" not_its_symbols
check "the_refusal_is_past" mended
finish
