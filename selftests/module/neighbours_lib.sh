# SPDX-License-Identifier: GPL-2.0
# Sourced by the tests with other users of the same functions: their names, and a run that uses them all.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

HOOKED="fpu_xstate_prctl fpu_flush_thread fpu_enable_guest_xfd_features fpu_update_guest_xfd"
NEIGHBOURS="fpu__restore_sig xstateregs_set fpu_swap_kvm_fpstate"

kvm_modules() {
	for name in irqbypass kvm kvm-intel; do
		[ -d /sys/module/$(echo $name | tr - _) ] && continue
		insmod "$(find /lib/modules -name $name.ko)" || return
	done
}

# Permission, first uses, signals, a tracer, exec, and a guest that does what a booting kernel does.
uses_everything() {
	"$HERE/amx_round" && printf '%s\n' make show arm enable load check | "$HERE/kvm_obey" >"$WORK/obeyed" && return
	cat "$WORK/obeyed"
	return 1
}
