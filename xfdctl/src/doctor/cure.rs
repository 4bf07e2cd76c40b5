// SPDX-License-Identifier: GPL-2.0
//! What to do about a refused request for tiles, whoever made it.

/// ENOSPC.
pub const ALT_STACK: &str =
    "give each alternate signal stack (sigaltstack) more than getauxval(AT_MINSIGSTKSZ) bytes, about 12 KiB \
                             with AMX: the constants MINSIGSTKSZ and SIGSTKSZ of old headers are less";
/// A frame that did not fit.
pub const NO_FRAME: &str =
    "give the alternate signal stack (sigaltstack) room for a frame, getauxval(AT_MINSIGSTKSZ) bytes, and \
                            what the handler takes; again for each signal that may interrupt a handler";
/// EBUSY.
pub const VCPU: &str =
    "the hypervisor has to ask (arch_prctl, ARCH_REQ_XCOMP_GUEST_PERM) before its first KVM_CREATE_VCPU, in the \
                        same process; QEMU does from 7.0 on";
/// What the kernel itself never answers.
pub const FILTER: &str =
    "allow arch_prctl in the seccomp filter: that of the container runtime, or systemd's SystemCallFilter= \
                          (/proc/PID/status shows who has one: Seccomp: 2)";
/// EINVAL from a kernel.
pub const OLD_KERNEL: &str = "use Linux 5.16 or later; guests get tiles from 5.17 on";
/// Memory for a buffer.
pub const MEMORY: &str = "free memory, see memory above: the kernel takes 12 KiB for each thread that uses tiles";
