// SPDX-License-Identifier: GPL-2.0
//! What to do about a refused request for tiles, whoever made it.

/// ENOSPC.
pub const ALT_STACK: &str =
    "each alternate stack must have getauxval(AT_MINSIGSTKSZ) bytes; MINSIGSTKSZ and SIGSTKSZ of old headers are less";
/// EBUSY.
pub const VCPU: &str = "ask (ARCH_REQ_XCOMP_GUEST_PERM) before KVM_CREATE_VCPU";
/// What the kernel itself never answers.
pub const FILTER: &str =
    "whoever set the seccomp filter (/proc/PID/status: Seccomp), a container runtime or systemd's \
                          SystemCallFilter=, has to allow arch_prctl";
