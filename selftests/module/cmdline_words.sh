#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The kernel's command line arrives as scenarios.toml has it: GRUB interprets nothing in it.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"

# GRUB quotes words that contain spaces, and the kernel strips the quotes.
arrives() { grep -F -q 'odd=a;b odd=$HOME "odd=`c` && d" odd={e} #f <g >h |i !j' /proc/cmdline || { cat /proc/cmdline; return 1; }; }

plan 1
check "arrives" arrives
finish
