// SPDX-License-Identifier: GPL-2.0
//! What caused an #NM, read from the value that the CPU left in IA32_XFD_ERR.

use super::facility::Facilities;
use super::xfeature::Xfeatures;

/// A device-not-available exception (#NM), classified by cause.
///
/// ```
/// use xstate::facility::LINUX;
/// use xstate::nm_event::NmEvent;
/// use xstate::xfeature::Xfeatures;
///
/// assert_eq!(NmEvent::from_xfd_err(0, LINUX), NmEvent::Ordinary);
/// let tiles = NmEvent::FirstUse(Xfeatures::USER_DYNAMIC);
/// assert_eq!(NmEvent::from_xfd_err(1 << 18, LINUX), tiles);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NmEvent {
    /// XFD_ERR is zero: the cause is not XFD but CR0.TS or CR0.EM. This is left to the kernel's own
    /// handler.
    Ordinary,
    /// An instruction used facilities that we handle. These are all of their components.
    FirstUse(Xfeatures),
    /// XFD_ERR names only components that are never armed for a task, so the CPU should not have
    /// reported them. The C code warns once and resumes (arch/x86/kernel/fpu/xstate.c:1764-1772).
    Unknown(Xfeatures),
}

impl NmEvent {
    /// The cause reported by `xfd_err`, the value of IA32_XFD_ERR (SDM vol. 1, 13.14), on a kernel
    /// that grants these `facilities` on request.
    pub fn from_xfd_err(xfd_err: u64, facilities: Facilities<'_>) -> Self {
        let raised = Xfeatures::from_bits(xfd_err);
        let served = facilities.used_by(raised);

        if raised.is_empty() {
            Self::Ordinary
        } else if served.is_empty() {
            Self::Unknown(raised)
        } else {
            Self::FirstUse(served)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facility::LINUX;
    use super::*;

    fn event(xfd_err: u64) -> NmEvent {
        NmEvent::from_xfd_err(xfd_err, LINUX)
    }

    #[test]
    fn zero_is_not_ours() {
        assert_eq!(event(0), NmEvent::Ordinary);
    }

    #[test]
    fn tile_data_is_a_first_use_whatever_else_is_set() {
        let tiles = Xfeatures::USER_DYNAMIC;
        assert_eq!(event(1 << 18), NmEvent::FirstUse(tiles));
        assert_eq!(event(0x60000), NmEvent::FirstUse(tiles));
    }

    #[test]
    fn anything_else_is_unknown() {
        let cfg = Xfeatures::from_bits(1 << 17);
        assert_eq!(event(1 << 17), NmEvent::Unknown(cfg));
    }
}
