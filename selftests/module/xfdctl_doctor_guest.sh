#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` in a virtual machine: it names the hypervisor, and everything works.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

grep -qw hypervisor /proc/cpuinfo || skip_all "this is not a virtual machine"
plan 2
check "who_shows_the_processor" says 0 "^ok *processor .*, reported by a hypervisor (KVM): AMX tiles"
check "palettes" says 0 "^ok *palettes .*8 tiles of 1024 bytes"
finish
