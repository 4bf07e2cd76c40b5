// SPDX-License-Identifier: GPL-2.0
//! Virtual CPUs: those of the functions that KVM calls in which the kernel's own code goes wrong.
//!
//! A virtual CPU has a register buffer of its own (`struct fpu_guest`), which takes the place of
//! the thread's while the thread runs it. None of the structures are ours: a virtual CPU can be made by
//! this module and freed by the kernel's own code, and the other way round.

pub(crate) mod enabling;
pub(crate) mod xfd;
