# SPDX-License-Identifier: GPL-2.0
# Runs a program inside a root, in a private mount namespace:
# enter.sh ROOT DIR [ro|rw HOST INSIDE]... -- PROGRAM ARGS...
set -eu
root=$1 dir=$2
shift 2
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
if [ -e /etc/resolv.conf ]; then
	[ -e "$root/etc/resolv.conf" ] || : >"$root/etc/resolv.conf"
	mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf"
fi
while [ "$1" != -- ]; do
	mode=$1 host=$2 inside=$root$3
	shift 3
	mkdir -p "$inside"
	mount --bind "$host" "$inside"
	# A user namespace may not drop flags of the mount below. Then it stays writable.
	[ "$mode" = rw ] || mount -o remount,bind,ro "$inside" 2>/dev/null || :
done
shift
exec chroot "$root" /bin/sh -c 'cd "$1"; shift; exec "$@"' enter "$dir" "$@"
