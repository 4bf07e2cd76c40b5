#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The kernel's command line arrives as scenarios.toml has it: GRUB takes none of its characters for itself.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

# GRUB puts a word with spaces in quotes, and the kernel takes them away.
arrives() { grep -F -q 'odd=a;b odd=$HOME "odd=`c` && d" odd={e} #f <g >h |i !j' /proc/cmdline || { cat /proc/cmdline; return 1; }; }

plan 1
check "arrives" arrives
finish
