# SPDX-License-Identifier: GPL-2.0
# Sourced after xfd_lib.sh by the `xfdctl doctor` tests.

DOCTOR="$HERE/xfdctl doctor"
DIES=$HERE/amx_dies

# Each finding is followed by a line that says what to do.
has_cures() {
	awk '/^WRONG / { if (wants) exit; wants = 1; next }
	     /^ *do this: +[^ ]/ { wants = 0; next }
	     wants { exit }
	     END { exit wants }' "$WORK/doctor"
}

# says STATUS PATTERN ARGS...: the doctor exits with STATUS and prints a matching line; otherwise shows its output.
says() {
	status=$1 pattern=$2
	shift 2
	$DOCTOR "$@" >"$WORK/doctor" 2>&1
	seen=$?
	grep -q -e "$pattern" "$WORK/doctor" && same "exit status" "$status" "$seen" && has_cures && return
	echo "no such line, or not followed by a line that says what to do: $pattern"
	cat "$WORK/doctor"
	return 1
}

# cure PATTERN: the remedy printed for the line that says() matched.
cure() {
	grep -A1 -e "$pattern" "$WORK/doctor" | grep -q -e "^ *do this: .*$1" && return
	echo "no such cure: $1"
	cat "$WORK/doctor"
	return 1
}

# no_line PATTERN: no line matches.
no_line() { ! grep -e "$1" "$WORK/doctor"; }

# dies HOW PATTERN CURE
dies() { says 1 "^WRONG *program .*$2" -- "$DIES" "$1" && cure "$3"; }
