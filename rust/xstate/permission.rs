// SPDX-License-Identifier: GPL-2.0
//! What a process may use: the rules behind the `arch_prctl` options and the #NM handler.
//!
//! # Invariants
//!
//! - A permission never shrinks: [`request`] returns every bit of the mask that it was given.
//! - In particular, supervisor and kernel-defined bits of the mask survive every request.

use super::capacity::Capacities;
use super::xfeature::Xfeatures;

/// This bit is set in a guest mask once the first vCPU exists: `FPU_GUEST_PERM_LOCKED`.
pub const GUEST_LOCKED: Xfeatures = Xfeatures::from_bits(1 << 63);

/// Which of a process's two permissions is meant: its own, or its guests'.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PermissionKind {
    /// `ARCH_REQ_XCOMP_PERM`.
    Host,
    /// `ARCH_REQ_XCOMP_GUEST_PERM`.
    Guest,
}

/// Why a request is refused. Each reason has its own errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is no such component: EINVAL.
    NoSuchXfeature,
    /// The component is not requestable, or the machine lacks it: EOPNOTSUPP.
    NotRequestable,
    /// A vCPU already exists: EBUSY.
    GuestLocked,
}

/// What a process may use, and the resulting size of its buffers: one `struct fpu_state_perm`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permission {
    /// The permitted components, including supervisor and kernel-defined bits.
    pub xfeatures: Xfeatures,
    /// Size in bytes of a register image of these components in the kernel's format.
    pub kernel_size: u32,
    /// Size in bytes of the user components in the standard format (signal frames, ptrace).
    pub user_size: u32,
}

/// The answer to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Everything requested is already permitted.
    Already,
    /// Store this permission. For [`PermissionKind::Host`], first check that every alternate
    /// signal stack of the process is large enough for a frame with `user_size` bytes of state,
    /// and fail with ENOSPC if one is not.
    Grant(Permission),
}

/// Whether a task in a process with the mask `permitted` may use `wanted`.
///
/// ```
/// use xstate::permission::allows;
/// use xstate::xfeature::Xfeatures;
///
/// let tiles = Xfeatures::USER_DYNAMIC;
/// assert!(allows(Xfeatures::from_bits(0x600e7), tiles));
/// assert!(!allows(Xfeatures::from_bits(0x200e7), tiles));
/// ```
pub fn allows(permitted: Xfeatures, wanted: Xfeatures) -> bool {
    permitted.contains(wanted)
}

/// Decides on a request for `requested` by a process whose mask is `permitted`.
///
/// The check for "already permitted" comes before the check for the guest lock, so a repeated
/// request succeeds even if a vCPU exists (arch/x86/kernel/fpu/xstate.c:1743-1757). The caller
/// holds siglock, because the permission must not change before the answer is stored.
///
/// # Errors
///
/// [`Refusal::GuestLocked`] (EBUSY): a guest request for something new after the first vCPU.
///
/// ```
/// use xstate::capacity::Capacities;
/// use xstate::layout::{Component, Format, Layout};
/// use xstate::permission::{request, Answer, PermissionKind, Refusal, GUEST_LOCKED};
/// use xstate::xfeature::Xfeatures;
///
/// let (legacy, tiles) = (Xfeatures::from_bits(0x3), Xfeatures::USER_DYNAMIC);
/// let layout = Layout::new(Format::Compacted, |i| match i {
///     18 => Component { size: 8192, offset: 2816, aligned64: true },
///     _ => Component::default(),
/// });
/// let capacities = Capacities::new(layout, legacy | tiles, [legacy | tiles, legacy]);
///
/// let Ok(Answer::Grant(granted)) = request(legacy, tiles, PermissionKind::Host, &capacities)
/// else {
///     panic!("not granted")
/// };
/// assert_eq!(granted.xfeatures, legacy | tiles);
/// assert_eq!((granted.kernel_size, granted.user_size), (576 + 8192, 2816 + 8192));
///
/// let again = request(granted.xfeatures, tiles, PermissionKind::Host, &capacities);
/// assert_eq!(again, Ok(Answer::Already));
/// let late = request(legacy | GUEST_LOCKED, tiles, PermissionKind::Guest, &capacities);
/// assert_eq!(late, Err(Refusal::GuestLocked));
/// ```
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

/// The smallest alternate signal stack, in bytes, that a thread may have if its signal frames carry
/// `user_size` bytes of state. `largest_frame` is the size of the machine's largest frame
/// (AT_MINSIGSTKSZ), which includes `largest_user_size` bytes of state.
///
/// ```
/// use xstate::permission::altstack_minimum;
///
/// // A Sapphire Rapids, with and without tile data.
/// assert_eq!(altstack_minimum(11952, 11008, 11008), 11952);
/// assert_eq!(altstack_minimum(11952, 11008, 2816), 3760);
/// ```
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

    /// The capacities of a machine whose signal frames have no PKRU.
    fn capacities() -> Capacities {
        capacities_in(Format::Compacted, Xfeatures::from_bits(0x600e7))
    }

    #[test]
    fn a_grant_has_the_sizes_of_silicon() {
        // A stock kernel's default mask, with PKRU and CET_U.
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
    fn the_lock_is_checked_after_what_is_permitted() {
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
