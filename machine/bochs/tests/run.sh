#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Tests an emulator: run.sh BOCHS [NAME...]. Prints a line for each test, PASS or FAIL, and exits
# with 1 if one failed. Needs a C compiler and GNU ld for x86-64; $CC is the compiler.
set -u
[ $# -ge 1 ] || { echo "usage: $0 BOCHS [NAME...]" >&2; exit 2; }
case $1 in */*) bochs=$(realpath "$1") ;; *) bochs=$(command -v "$1") ;; esac
[ -x "$bochs" ] || { echo "$0: cannot execute $1" >&2; exit 2; }
shift
cd "$(dirname "$0")" || exit 2
[ $# -gt 0 ] || set -- [0-9]*.c

work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 2' INT TERM

compile() {
	${CC:-gcc} -std=gnu11 -O1 -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-pie -fno-stack-protector \
		-fcf-protection=none -fno-asynchronous-unwind-tables -mgeneral-regs-only -mno-red-zone -c "$1" -o "$2"
}

for source in start.S test.c vmx.c; do
	compile "$source" "$work/${source%.*}.o" || exit 2
done
head -c 512 /dev/zero >"$work/vga.rom"

failed=0
for name; do
	name=$(basename "$name" .c)
	[ -f "$name.c" ] || { echo "$0: there is no test $name: give the name of a patch" >&2; exit 2; }
	rm -f "$work/test.rom" "$work/log" "$work/output"
	compile "$name.c" "$work/$name.o" || exit 2
	ld -n -T rom.ld --oformat binary -o "$work/test.rom" "$work/$name.o" "$work/start.o" "$work/test.o" \
		"$work/vmx.o" || exit 2
	# What a test wants of the CPU is in a comment: cpu: OPTIONS.
	cpu=$(sed -n 's/^ \* cpu: //p' "$name.c")
	cat >"$work/bochsrc" <<-END
		display_library: nogui
		cpu: model=sapphire_rapids, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=0${cpu:+, $cpu}
		memory: guest=32, host=32
		romimage: file=$work/test.rom
		vgaromimage: file=$work/vga.rom
		vga: extension=none
		pci: enabled=0
		clock: sync=none
		port_e9_hack: enabled=1
		log: $work/log
		panic: action=fatal
		error: action=report
	END
	timeout 20 "$bochs" -q -f "$work/bochsrc" </dev/null >"$work/output" 2>"$work/errors"
	status=$?
	result=$(grep -a -m 1 -E '^(PASS$|FAIL )' "$work/output")
	case $result in
	PASS) echo "PASS $name"; continue ;;
	FAIL*) why=${result#FAIL } ;;
	*)
		why=$(grep -a -h -m 1 -E '^[0-9]+p|Assert' "$work/log" "$work/errors" | sed 's/^[0-9]*p//')
		[ $status -ne 124 ] || why="no result after 20 s"
		[ -n "$why" ] || why="the emulator ended with status $status"
		;;
	esac
	echo "FAIL $name: $why"
	failed=1
done
exit $failed
