#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Checks whether cargo can build into CARGO_TARGET_DIR; if not, prints in one line what to do, and exits with 5.
set -eu

die() {
	echo "xfd: $*" >&2
	exit 5
}

# root itself, as in a container, may build in a checkout of any owner.
case $(id -u):${SUDO_UID:-0} in
*:0) ;;
0:*)
	[ "$(stat -c %u .)" = 0 ] ||
		die "root's files in this checkout would keep its owner, $(stat -c %U .), from building in it;" \
			"nothing was created: run make without sudo (make host-load calls sudo itself)"
	;;
esac
command -v cargo >/dev/null || die "no cargo: install Rust 1.85 or later (Debian 13: apt install cargo; else rustup)"
command -v cc >/dev/null || die "no C compiler, which Rust needs for linking: apt install gcc libc6-dev"
case $CARGO_TARGET_DIR in
*[:%]*) die "Rust cannot build in a folder with : or % in its path, such as ${CARGO_TARGET_DIR%/cargo}: set XFD_CACHE to another one" ;;
esac
why=$(mkdir -p "$CARGO_TARGET_DIR" 2>&1) || die "${why#mkdir: }: set XFD_CACHE to a folder that can be written"
[ -w "$CARGO_TARGET_DIR" ] || die "$CARGO_TARGET_DIR cannot be written: set XFD_CACHE to a folder that can be written"
