#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Threads whose buffers were reclaimed while they slept: they are killed, execute another program, or are held up on the
# way to getting them back, while the module stays or is unloaded. No memory leaks, and no module code runs once the
# module is gone.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

SLEEPERS=3

is_loaded && bail_out "the module is loaded: this test loads it itself"
until_true 5 fpstate_areas_stay || bail_out "the number of fpstate areas does not settle"
baseline=$(fpstate_areas)

areas_are() { [ "$(fpstate_areas)" = "$1" ]; }
areas_come_to() { until_true 2 areas_are "$1" || same "fpstate areas" "$1" "$(fpstate_areas)"; }
# All threads sleep, none has a buffer, and none has got one back yet.
begins() {
	insmod "$MODULE" reclaim_ms=1 && until_true 30 is_settled || return
	loaded=$(fpstate_areas)
	XFD_MODULE=1 launch_until asleep 5 "$HERE/amx_owed" --threads $SLEEPERS "$1" || return
	given_back 0 && areas_come_to "$loaded"
}

disable() { echo 0 >$PATCH/enabled; }
goes() { within 8 disable && until_true 8 is_unpatched && within 8 rmmod xfd && nothing_remains; }
killed() {
	kill -KILL "$pid_5"
	land 5
	same status 137 $?
}
none_left() { fpstate_areas_back_to "$baseline"; }
go_on() { land 5 && grep -q "^right" "$WORK/says.5"; }
given_back() { same "buffers given back" "$1" "$(counter regrown)"; }

# ends COMMAND ARGS...: runs it, and leaves no threads and no module behind, whatever happened.
ends() {
	"$@" && no_splat
	outcome=$?
	kill -KILL "$pid_5" 2>/dev/null
	! is_loaded || unload
	return $outcome
}

# while_loaded HOW END COUNT: COUNT buffers are given back; a dying thread needs none.
while_loaded() { begins "$1" && "$2" && none_left && given_back "$3" && goes; }
# after_it_went HOW END: the module gives each thread a buffer from outside.
after_it_went() { begins "$1" && goes && areas_come_to $((baseline + SLEEPERS)) && "$2" && none_left; }

plan 9
check "killed_while_they_sleep" ends while_loaded go-on killed 0
check "replaced_by_another_program" ends while_loaded exec go_on 0
check "held_up_and_go_on" ends while_loaded write go_on $SLEEPERS
check "held_up_and_killed" ends while_loaded write killed 0
check "the_module_goes_while_they_sleep" ends after_it_went go-on go_on
check "killed_when_it_has_gone" ends after_it_went go-on killed
check "the_module_goes_while_they_are_held_up" ends after_it_went write go_on
check "killed_while_held_up_when_it_has_gone" ends after_it_went write killed
check "the_kernel_serves" kernel_serves
finish
