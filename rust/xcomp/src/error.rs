// SPDX-License-Identifier: GPL-2.0
//! Why the kernel refused: one variant per errno that the permission options return.

use syscalls::Errno;
use thiserror::Error;

/// Why the kernel refused. When one of these is returned, nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Error {
    /// EINVAL: the kernel knows no feature with this number, or is too old to know the option.
    #[error("the kernel knows no such feature or option (EINVAL)")]
    NotKnown,

    /// EOPNOTSUPP: the feature needs no permission, or this machine lacks it.
    #[error("the feature cannot be requested on this machine (EOPNOTSUPP)")]
    NotSupported,

    /// ENOSPC: an alternate signal stack of this process is too small for the signal frame.
    #[error("an alternate signal stack is smaller than AT_MINSIGSTKSZ: enlarge it first (ENOSPC)")]
    AltStackTooSmall,

    /// EBUSY: guest permissions can no longer change once the first virtual CPU has been created.
    #[error("a virtual CPU exists or existed: ask before you create the first (EBUSY)")]
    VcpuExists,

    /// Any other errno, such as one from a seccomp filter.
    #[error("arch_prctl failed with errno {0}")]
    Other(i32),
}

impl Error {
    /// The errno that the kernel returned, as a positive number.
    ///
    /// ```
    /// assert_eq!(xcomp::Error::NotKnown.errno(), 22);
    /// ```
    #[must_use]
    pub fn errno(self) -> i32 {
        match self {
            Error::NotKnown => Errno::EINVAL.into_raw(),
            Error::NotSupported => Errno::EOPNOTSUPP.into_raw(),
            Error::AltStackTooSmall => Errno::ENOSPC.into_raw(),
            Error::VcpuExists => Errno::EBUSY.into_raw(),
            Error::Other(errno) => errno,
        }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EINVAL => Error::NotKnown,
            Errno::EOPNOTSUPP => Error::NotSupported,
            Errno::ENOSPC => Error::AltStackTooSmall,
            Errno::EBUSY => Error::VcpuExists,
            other => Error::Other(other.into_raw()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_survives_the_way_through_its_variant() {
        for raw in 1..=133 {
            assert_eq!(Error::from(Errno::new(raw)).errno(), raw);
        }
    }

    #[test]
    fn documented_errnos_have_their_own_variant() {
        assert_eq!(Error::from(Errno::new(22)), Error::NotKnown);
        assert_eq!(Error::from(Errno::new(95)), Error::NotSupported);
        assert_eq!(Error::from(Errno::new(28)), Error::AltStackTooSmall);
        assert_eq!(Error::from(Errno::new(16)), Error::VcpuExists);
        assert_eq!(Error::from(Errno::new(14)), Error::Other(14));
    }
}
