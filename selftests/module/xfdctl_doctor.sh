#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` on a machine where everything works: it says so, and explains why a program died nonetheless.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

all_is_well() {
	for about in processor palettes XFD XCR0 kernel permission "first use" guests memory limits; do
		says 0 "^ok *$about " || return
	done
	no_line ^WRONG && no_line ^unknown
}
json() {
	says 0 '^{"about":"XCR0","state":"ok","what":".*enabled tiles"}$' --json &&
		same "lines that are objects" "$(grep -c . "$WORK/doctor")" "$(grep -c '^{.*}$' "$WORK/doctor")"
}

# ends_well HOW
ends_well() { says 0 "^ok *program .* asked for tiles and got them" -- "$DIES" "$1"; }
wrong_use() {
	says 3 "cannot run /no/such/program" -- /no/such/program && says 2 "unexpected argument" no-such-argument
}

# A process that outlives the program continues untraced, even if it was forked at the last moment.
none_left() { ! pgrep -f "sleep 0.37" >/dev/null; }
lets_go() {
	for i in 1 2 3 4 5 6 7 8 9 10; do
		says 0 "^ok *program .* exited with status 0" -- sh -c "sleep 0.37 & exit 0" || return
	done
	until_true 30 none_left
}

caught() { says 1 "^WRONG *program .*exited with status 7 after SIGILL.*never asked" -- "$DIES" caught; }
falls_back() { says 0 "^note *program .* was refused tiles: .*EPERM" -- "$DIES" falls-back && cure "allow arch_prctl"; }

# Signals without a name, and a real job-control stop.
others() {
	says 1 "^WRONG *program .*died of signal 34: AMX is not the reason" -- sh -c 'kill -34 $$; sleep 600' &&
		says 0 "^ok *program " -- sh -c 'sh -c "kill -STOP \$\$; exit 0" & usleep 300000; grep -qi "^State:.t" /proc/$!/status || exit 9; kill -CONT $!; wait $!'
}

# The doctor loads KVM, and leaves it loaded.
vcpu_first() {
	for module in irqbypass kvm kvm-intel; do
		insmod /lib/modules/$module.ko || return
	done
	dies vcpu-first "its guests were refused tiles: .*a virtual CPU before it asked (EBUSY)" "KVM_CREATE_VCPU"
}

plan 25
check "all_is_well" all_is_well
check "as_json" json
check "ends_well" ends_well not
check "never_asked" dies no-permission \
	"thread [0-9]* (amx_dies), died of SIGILL at 0x[0-9a-f]*, tilezero tmm0: .*never asked" "ask once before its first tile"
check "in_a_thread" dies in-a-thread "(worker), died of SIGILL.*never asked" "ARCH_REQ_XCOMP_PERM"
check "for_guests_alone" dies for-guests "asked only for its guests" "ARCH_REQ_XCOMP_PERM"
check "asked_before_exec" dies executed "before it executed" "ask again after exec"
check "small_stack" dies small-stack "stack of thread [0-9]* (amx_dies) has 8192 bytes" AT_MINSIGSTKSZ
check "small_stack_of_another_thread" dies small-stack-of-a-thread "stack of thread [0-9]* (holder) has 4096 bytes" \
	AT_MINSIGSTKSZ
check "small_stack_of_a_parent" dies small-stack-of-a-parent \
	"died of SIGILL.*stack of thread [0-9]* (amx_dies) has 8192 bytes" AT_MINSIGSTKSZ
check "asks_again_and_ends_well" ends_well asks-again
check "no_room_for_a_frame" dies signal-in-a-handler \
	"died of SIGSEGV.*frame of SIGUSR2 does not fit on its alternate signal stack.* left in a handler" AT_MINSIGSTKSZ
check "no_room_for_a_childs_frame" dies signal-in-a-childs-handler \
	"died of SIGSEGV.*frame of SIGUSR2 does not fit on its alternate signal stack.* left in a handler" AT_MINSIGSTKSZ
check "seccomp" dies filtered "EPERM.*comes from its seccomp filter" "allow arch_prctl"
check "seccomp_and_it_ends" dies filtered-and-ends "exited with status 1, and it was refused tiles" "allow arch_prctl"
check "killed_by_the_filter" dies killed-by-filter "died of SIGSYS: a seccomp filter kills processes that ask" "allow arch_prctl"
check "not_configured" dies not-configured "no tiles are configured" "LDTILECFG comes first"
check "no_palette" dies no-palette "ldtilecfg .*: the CPU has no such palette" "see palettes"
check "guests_behind_a_vcpu" vcpu_first
check "not_by_amx" dies null-pointer "SIGSEGV at 0x[0-9a-f]*, mov r.*: AMX is not the reason" "the program itself"
check "wrong_use" wrong_use
check "caught" caught
check "refused_and_falls_back" falls_back
check "other_signals_and_stops" others
check "lets_go_of_who_remains" lets_go
finish
