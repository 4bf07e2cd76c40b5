// SPDX-License-Identifier: GPL-2.0
//! CPUID leaf 0DH: the processor's description of its state components.

use crate::xstate::layout::Component;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

const LEAF_XSTATE: u32 = 0xd;

#[allow(unused_unsafe, reason = "the intrinsic is safe in later compilers")]
fn xstate_leaf(subleaf: u32) -> CpuidResult {
    // SAFETY: CPUID exists on every 64-bit CPU and has no effect on memory (SDM vol. 2, CPUID).
    unsafe { __cpuid_count(LEAF_XSTATE, subleaf) }
}

/// Whether the CPU has XFD: CPUID.(EAX=0DH,ECX=1):EAX\[4\] (SDM vol. 1, 13.14). For loading the
/// module.
#[cfg(MODULE)]
pub(crate) fn has_xfd() -> bool {
    xstate_leaf(1).eax & 1 << 4 != 0
}

/// Size, standard offset and alignment of component `nr`, which is 2 or higher (SDM vol. 1, 13.2).
pub(crate) fn component(nr: u32) -> Component {
    let leaf = xstate_leaf(nr);
    let supervisor = leaf.ecx & 1 != 0;

    Component {
        size: leaf.eax,
        offset: if supervisor { 0 } else { leaf.ebx },
        aligned64: leaf.ecx & 2 != 0,
    }
}
