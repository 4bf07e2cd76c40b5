#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# `xfdctl doctor` where something is forbidden or scarce, and on kernels that are too old. A filter gives the answers
# of such a kernel, and a file mounted over the kernel's own gives its release.
. "$(dirname "$(readlink -f "$0")")/xfd_lib.sh"
. "$HERE/doctor_lib.sh"

FREE=$DOCTOR
RELEASE=/proc/sys/kernel/osrelease

# confined PLACE COMMAND ARGS...: runs COMMAND with the doctor confined to PLACE.
confined() {
	DOCTOR="$HERE/amx_confined $1 $FREE"
	shift
	"$@"
	outcome=$?
	DOCTOR=$FREE
	return $outcome
}

# on_release RELEASE COMMAND ARGS...
on_release() {
	echo "$1" >"$WORK/osrelease" && mount --bind "$WORK/osrelease" $RELEASE || return
	shift
	"$@"
	outcome=$?
	umount $RELEASE && return $outcome
}

# wrong ABOUT PATTERN CURE
wrong() { says 1 "^WRONG *$1 .*$2" && cure "$3"; }

unknown_calls() {
	wrong kernel "cannot be asked for tiles: refused with ENOSYS.*seccomp" "allow arch_prctl" && no_line "^ok *first use"
}
no_permission() { wrong permission "refused with EPERM.*seccomp" "allow arch_prctl" && no_line "^ok *first use"; }
no_mercy() { wrong permission "killed by SIGSYS: a seccomp filter" "allow arch_prctl"; }
before_5_16() { wrong kernel "Linux 5.15.0-91-generic is too old for AMX" "5.16 or later" && no_line "^[a-zA-Z]* *permission"; }
not_so_old() { wrong kernel "refused with EINVAL, which this kernel never returns" "allow arch_prctl"; }
before_5_17() { says 0 "^note *guests *Linux 5.16.9 grants no tiles to virtual machines: this needs 5.17"; }
guests_filtered() { wrong guests "refused with EINVAL, which this kernel never returns" "allow arch_prctl"; }

# What a program asked for is not visible, but how it ended is.
before_5_3() {
	dies no-permission "tilezero tmm0: it has no permission; Linux before 5.3 does not show whether it asked" "ARCH_REQ_XCOMP_PERM" &&
		says 0 "^ok *program .*Linux before 5.3 does not show whether it asked for tiles" -- "$DIES" not
}
no_ptrace() {
	says 3 "^xfdctl: .*amx_dies cannot be traced (ptrace): EPERM.*where ptrace is allowed" -- "$DIES" not &&
		same "lines of error messages" 1 "$(grep -c ^xfdctl: "$WORK/doctor")"
}

# limited COMMAND ARGS...: runs it in a shell in a 12 MiB cgroup.
GROUP=/sys/fs/cgroup/small
limited() {
	mkdir -p $GROUP && echo 12M >$GROUP/memory.max || return
	(sh -c 'echo $PPID' >$GROUP/cgroup.procs && "$@")
	outcome=$?
	rmdir $GROUP && return $outcome
}
little_memory() { limited wrong limits "cgroup /small has [0-9]* KiB left of its 12288 KiB" "memory.max"; }
all_memory_of_the_cgroup() {
	limited dies eats-memory "was killed by the kernel (SIGKILL) because its cgroup had no memory left" "memory.max"
}
little_address_space() (
	ulimit -v 15000 && wrong limits "limited to 15000 KiB (RLIMIT_AS)" "ulimit -v unlimited"
)

mkdir -p /sys/fs/cgroup && { [ -e /sys/fs/cgroup/cgroup.procs ] || mount -t cgroup2 none /sys/fs/cgroup; } &&
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control || bail_out "no cgroups with memory.max"
plan 12
check "a_filter_that_knows_no_tiles" confined unknown-calls unknown_calls
check "a_filter_refuses_permission" confined no-permission no_permission
check "a_filter_kills_who_asks" confined no-mercy no_mercy
check "before_linux_5_16" on_release 5.15.0-91-generic confined old-kernel before_5_16
check "no_old_kernel_but_a_filter" confined old-kernel not_so_old
check "before_linux_5_17" on_release 5.16.9 confined no-guests before_5_17
check "guests_filtered" confined no-guests guests_filtered
check "before_linux_5_3" confined old-ptrace before_5_3
check "no_ptrace" confined no-ptrace no_ptrace
check "little_memory_in_the_cgroup" little_memory
check "no_memory_in_the_cgroup" all_memory_of_the_cgroup
check "little_address_space" little_address_space
finish
