// SPDX-License-Identifier: GPL-2.0
//! What a process may use: the rules of the `arch_prctl` options and of the #NM handler.
//!
//! # Invariants
//!
//! - A permission only grows; [`request`] never returns a mask smaller than the one it was given.
//! - Kernel-defined and supervisor bits of the mask survive every request.

use super::capacity::Capacities;
use super::xfeature::Xfeatures;

/// Set in a guest mask once the first vCPU exists: `FPU_GUEST_PERM_LOCKED`.
pub const GUEST_LOCKED: Xfeatures = Xfeatures::from_bits(1 << 63);

/// Whose permission: the process's own, or that of the guests it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PermissionKind {
    /// `ARCH_REQ_XCOMP_PERM`.
    Host,
    /// `ARCH_REQ_XCOMP_GUEST_PERM`.
    Guest,
}

/// Why a request is refused; each is one errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such component: EINVAL.
    NoSuchXfeature,
    /// Not a component that is given on request, or not on this machine: EOPNOTSUPP.
    NotRequestable,
    /// A vCPU exists already: EBUSY.
    GuestLocked,
}

/// What a process is permitted, and the buffers that takes: one `struct fpu_state_perm`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permission {
    /// Permitted components, with supervisor and kernel-defined bits.
    pub xfeatures: Xfeatures,
    /// Bytes of register image the kernel needs for them.
    pub kernel_size: u32,
    /// Bytes of the user components in the standard format: signal frames, ptrace.
    pub user_size: u32,
}

/// Answer to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Everything asked for is permitted already.
    Already,
    /// Store this permission; for [`PermissionKind::Host`] only if every alternate signal stack of the
    /// process can take a frame with `user_size` bytes of state (ENOSPC otherwise).
    Grant(Permission),
}

/// Whether a task of a process with the mask `permitted` may use `wanted`.
pub fn allows(permitted: Xfeatures, wanted: Xfeatures) -> bool {
    permitted.contains(wanted)
}

/// Decides a request for `requested` by a process whose mask is `permitted`.
///
/// "Already permitted" comes before the guest lock: a repeated request succeeds also when a vCPU
/// exists (arch/x86/kernel/fpu/xstate.c:1743-1757).
pub fn request(
    permitted: Xfeatures,
    requested: Xfeatures,
    kind: PermissionKind,
    capacities: &Capacities,
) -> Result<Answer, Refusal> {
    if allows(permitted, requested) {
        return Ok(Answer::Already);
    }
    if kind == PermissionKind::Guest && permitted.contains(GUEST_LOCKED) {
        return Err(Refusal::GuestLocked);
    }
    let xfeatures = permitted | requested;
    let capacity = capacities.with(xfeatures);
    Ok(Answer::Grant(Permission {
        xfeatures,
        kernel_size: capacity.kernel_size(),
        user_size: capacity.user_size(),
    }))
}

/// The smallest alternate signal stack, in bytes, that a process may have when its frames carry
/// `user_size` bytes of state. `largest_frame` is the machine's largest frame (AT_MINSIGSTKSZ),
/// which includes `largest_user_size` bytes of state.
pub fn altstack_minimum(largest_frame: u64, largest_user_size: u32, user_size: u32) -> u64 {
    largest_frame - u64::from(largest_user_size) + u64::from(user_size)
}

#[cfg(test)]
mod tests {
    use super::super::capacity::tests::capacities_in;
    use super::super::capacity::Capacities;
    use super::super::layout::Format;
    use super::*;
    use proptest::prelude::*;

    /// With PKRU not in the frames.
    fn capacities() -> Capacities {
        capacities_in(Format::Compacted, Xfeatures::from_bits(0x600e7))
    }

    #[test]
    fn a_grant_has_the_sizes_of_silicon() {
        // PKRU, CET_U and the rest of a stock kernel's default mask.
        let permitted = Xfeatures::from_bits(0x20ae7);
        let answer = request(
            permitted,
            Xfeatures::USER_DYNAMIC,
            PermissionKind::Host,
            &capacities(),
        );
        let Ok(Answer::Grant(p)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(p.xfeatures.bits(), 0x60ae7);
        assert_eq!((p.kernel_size, p.user_size), (10752, 11008));
    }

    #[test]
    fn the_lock_is_looked_at_after_what_is_permitted() {
        let tiles = Xfeatures::USER_DYNAMIC;
        let ask = |mask, kind| request(mask, tiles, kind, &capacities());
        assert_eq!(
            ask(GUEST_LOCKED, PermissionKind::Guest),
            Err(Refusal::GuestLocked)
        );
        assert_eq!(
            ask(GUEST_LOCKED | tiles, PermissionKind::Guest),
            Ok(Answer::Already)
        );
    }

    #[test]
    fn altstack_threshold_of_silicon() {
        assert_eq!(altstack_minimum(11952, 11008, 11008), 11952);
        assert_eq!(altstack_minimum(11952, 11008, 2816), 3760);
    }

    proptest! {
        #[test]
        fn permissions_only_grow(mask in 0u64..1 << 20, guest: bool) {
            let kind = if guest { PermissionKind::Guest } else { PermissionKind::Host };
            let permitted = Xfeatures::from_bits(mask);
            let answer = request(permitted, Xfeatures::USER_DYNAMIC, kind, &capacities());
            match answer {
                Ok(Answer::Already) => prop_assert!(mask & 1 << 18 != 0),
                Ok(Answer::Grant(p)) => prop_assert_eq!(p.xfeatures.bits(), mask | 1 << 18),
                Err(r) => prop_assert!(false, "{:?}", r),
            }
        }
    }
}
