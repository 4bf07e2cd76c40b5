// SPDX-License-Identifier: GPL-2.0
//! What to do about a refused request for tiles.

/// ENOSPC.
pub const ALT_STACK: &str =
    "make each alternate signal stack (sigaltstack) larger than getauxval(AT_MINSIGSTKSZ), which \
                             is about 12 KiB with AMX: MINSIGSTKSZ and SIGSTKSZ in old headers are too small";
/// A signal frame did not fit.
pub const NO_FRAME: &str = "make the alternate signal stack (sigaltstack) large enough for a frame of \
                            getauxval(AT_MINSIGSTKSZ) bytes and what the handler needs, and for another frame for each \
                            signal that may interrupt a handler";
/// EBUSY.
pub const VCPU: &str = "the hypervisor has to ask (arch_prctl, ARCH_REQ_XCOMP_GUEST_PERM) before its first \
                        KVM_CREATE_VCPU, in the same process; QEMU does from 7.0 on";
/// An errno that the kernel never returns.
pub const FILTER: &str = "allow arch_prctl in the seccomp filter: that of the container runtime, or systemd's \
                          SystemCallFilter= (a process that has one shows Seccomp: 2 in /proc/PID/status)";
/// EINVAL from the kernel.
pub const OLD_KERNEL: &str = "use Linux 5.16 or later; guests need 5.17";
/// No memory for a buffer.
pub const MEMORY: &str = "free memory, see memory above: the kernel takes 12 KiB for each thread that uses tiles";
