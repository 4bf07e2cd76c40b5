// SPDX-License-Identifier: GPL-2.0
//! Virtual CPUs: replacements for those functions called by KVM in which the kernel's code is
//! wrong.
//!
//! A virtual CPU has its own register buffer (`struct fpu_guest`). While a thread runs the vCPU,
//! that buffer takes the place of the thread's own. All data structures are the kernel's: a vCPU
//! created by this module can be freed by the kernel's own code, and the other way round.

pub(crate) mod enabling;
pub(crate) mod xfd;
