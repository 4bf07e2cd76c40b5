// SPDX-License-Identifier: GPL-2.0
//! Kernel functions that modules cannot link to, each through its gate. `tree/calls.rs` has the
//! same names for a kernel into which this code is built.

pub(crate) use crate::bindings::{
    xfd_gate_force_sig_fault as force_sig_fault, xfd_gate_load_fpregs as load_fpregs,
    xfd_gate_reset_fpstate as reset_fpstate, xfd_gate_sigframe_size as sigframe_size,
    xfd_gate_trap_address as trap_address,
};
