#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Sourced by the tests that run apt on the host: KTAP results, and apt.

cd / || exit
number=0

# check NAME COMMAND ARGS...: passes if the command succeeds; otherwise shows its output.
check() {
	number=$((number + 1))
	name=$1
	shift
	if said=$("$@" 2>&1); then
		echo "ok $number $name"
	else
		sed 's/^/# /' <<<"$said"
		echo "not ok $number $name"
	fi
}

# same EXPECTED SEEN
same() { [ "$1" = "$2" ] || { echo "expected: $1"; echo "seen: $2"; return 1; }; }

apt() { apt-get -q -y --no-install-recommends -o APT::Sandbox::User=root "$@"; }
