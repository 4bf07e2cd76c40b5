// SPDX-License-Identifier: GPL-2.0
//! Virtual CPUs: replacements for the functions that KVM calls and whose kernel versions have bugs.
//!
//! A virtual CPU has its own register buffer (`struct fpu_guest`). While a thread runs the vCPU,
//! that buffer takes the place of the thread's own. All data structures are the kernel's: the
//! kernel's own code can free a vCPU created by this module, and vice versa.

pub(crate) mod enabling;
pub(crate) mod xfd;
