// SPDX-License-Identifier: GPL-2.0
//! What takes the place of the seam in a kernel into which this code is built: direct calls, and
//! hooks of a few lines in the kernel's own code (arch/x86/include/asm/fpu/xfd_rust.h). Nothing is
//! looked up, patched, counted or unwound.

pub(crate) mod calls;
pub(crate) mod counted;
#[path = "../seam/kernel.rs"]
pub(crate) mod kernel;
#[path = "../seam/locks.rs"]
pub(crate) mod locks;
pub(crate) mod refusal;
pub(crate) mod symbols;
