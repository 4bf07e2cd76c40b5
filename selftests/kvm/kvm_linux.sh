#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# The stock kernel as a guest under KVM, in Debian's QEMU. The guest runs the machine's own init; its test results are
# relayed as subtests. At the end the VM exits for first uses are compared with the guest's first-use count.
. /tests/xfd_lib.sh
module='' tests=''
. /guest/settings

QEMU=/usr/bin/qemu-system-x86_64-microvm
EVENTS=/sys/kernel/tracing/events/kvm
# The C function that serves #NM is probed from the guest's start.
CMDLINE="console=ttyS0 loglevel=5 oops=panic panic=-1 reboot=t kprobe_event=p:xfd_nm,__xfd_enable_feature"
RS=$(printf '\036')
NM=80000307
XFD=1c4
XFD_ERR=1c5

# --- the guest ---------------------------------------------------------------------------------

# Its console goes to the machine's, and the runner checks both. Its second port carries test output.
guest() {
	$QEMU -no-user-config -nodefaults -display none -M microvm,rtc=on -accel kvm -cpu host -m 512 -no-reboot \
		-kernel /guest/vmlinuz -initrd /guest/initramfs -append "$CMDLINE" \
		-chardev file,id=console,path=/dev/ttyS0,append=on -serial chardev:console \
		-chardev stdio,id=output,signal=off -device isa-serial,index=1,chardev=output </dev/null 2>"$WORK/qemu"
	printf '%sexit %s\n' "$RS" $?
}

# record NAME ARGS...: handles one record from init, or QEMU exiting.
record() {
	what=$1
	shift
	case $what in
	loaded) check guest_module_loads true ;;
	load-failed) check guest_module_loads says "$*" ;;
	begin) bad='' running=$1 ;;
	end) result "$1" "$2" ;;
	unloaded) check guest_module_unloads true ;;
	unload-failed) check guest_module_unloads says "$*" ;;
	areas) [ -z "$module" ] || check guest_module_leaks_nothing at_most "$2" "$1" ;;
	done) is_done=1 ;;
	exit) check guest_ends ended "$1" ;;
	esac
}

says() { echo "$*" && false; }
at_most() { [ "$1" -le "$2" ] || says "$1, before: $2"; }
ended() { [ "$1 $is_done" = "0 1" ] || says "QEMU exited with $1, the guest's init finished: ${is_done:-0}; $(cat "$WORK/qemu")"; }
passed_with() { [ "$1" = 0 ] && [ -z "$2" ] || says "exit status $1 $2"; }

# result TEST STATUS: the kernel's own x86 tests do not report failures in their exit status.
result() {
	running=''
	if [ "$2" = 4 ]; then
		skip "$1" "the test skipped itself"
	else
		check "$1" passed_with "$2" "$bad"
	fi
}

# line TEXT: handles one line of a test's output.
line() {
	case $1 in
	'# first_uses '*) first_uses=${1##* } ;;
	*'[FAIL]'*) bad=$1 ;;
	esac
	[ -z "$running" ] || printf '    %s\n' "$1"
}

# --- the exits ---------------------------------------------------------------------------------

# count EVENT KEY VALUE: how often KEY had this VALUE.
count() {
	seen=$(sed -n "s/^{ $2: *$3 *} hitcount: *//p" $EVENTS/"$1"/hist)
	echo "${seen:-0}"
}

# total EVENT KEY: the sum over all values.
total() { sed -n "s/^{ $2: .*hitcount: *//p" $EVENTS/"$1"/hist | awk '{ sum += $1 } END { print sum }'; }

exits_are() { same "exits, first uses in the guest: $2" "$2" "$1"; }

# --- one boot ----------------------------------------------------------------------------------

set -- $tests
counts=''
case " $tests " in *' guest_first_uses.sh '*) counts=2 ;; esac
plan $(($# + ${module:+3} + 0 + 1 + ${counts:-0}))
# These append, since opening the file for writing removes its triggers.
echo 'hist:keys=exit_reason' >>$EVENTS/kvm_exit/trigger
echo 'hist:keys=intr_info.hex if exit_reason==0' >>$EVENTS/kvm_exit/trigger
echo 'hist:keys=ecx.hex if write==1' >>$EVENTS/kvm_msr/trigger

mkfifo "$WORK/output"
guest >"$WORK/output" &
first_uses=none is_done='' running=''
while IFS= read -r text; do
	text=${text%"$(printf '\r')"}
	case $text in
	*"$RS"*)
		[ -z "${text%%"$RS"*}" ] || line "${text%%"$RS"*}"
		record ${text#*"$RS"}
		;;
	*) line "$text" ;;
	esac
done <"$WORK/output"

echo "# exits: $(total kvm_exit exit_reason); #NM $(count kvm_exit intr_info $NM)," \
	"writes of XFD_ERR $(count kvm_msr ecx $XFD_ERR), of XFD $(count kvm_msr ecx $XFD); first uses $first_uses"
if [ "$counts" ]; then
	check first_use_exits_for_nm exits_are "$(count kvm_exit intr_info $NM)" "$first_uses"
	check first_use_exits_for_xfd_err exits_are "$(count kvm_msr ecx $XFD_ERR)" "$first_uses"
fi
finish
