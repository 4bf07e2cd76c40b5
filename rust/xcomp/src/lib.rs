// SPDX-License-Identifier: GPL-2.0
//! Permission for dynamically enabled x86 extended features, as Linux gives it.
//!
//! The state of some processor features is so large that the kernel reserves no room for it
//! until a process asks: AMX tile data, 8,192 bytes a thread, is the first of them. A process
//! asks once, by `arch_prctl` (options 0x1021 to 0x1025, `uapi/asm/prctl.h`), before the first
//! instruction that touches the feature; without permission that instruction raises `SIGILL`
//! with `si_code` `ILL_ILLOPC`.
//!
//! * A permission is the process's: all threads have it at once, also those that already run.
//! * It can not be given back. `fork` copies it, `execve` ends it.
//! * The host's permission (for the program's own instructions) and the guest's (for the
//!   virtual CPUs it runs by KVM) are independent of each other.
//!
//! # Example
//!
//! ```
//! use xcomp::{Error, Feature};
//!
//! match xcomp::request(Feature::TILE_DATA) {
//!     Ok(()) => assert!(xcomp::permitted()?.contains(Feature::TILE_DATA)),
//!     // The processor or the kernel is without AMX: compute without it.
//!     Err(Error::NotSupported | Error::NotKnown) => {}
//!     // A thread's alternate signal stack could not hold a signal frame with tiles:
//!     // allocate at least `getauxval(AT_MINSIGSTKSZ)` bytes, and ask again.
//!     Err(Error::AltStackTooSmall) => {}
//!     Err(error) => return Err(error),
//! }
//! # Ok::<(), Error>(())
//! ```
#![no_std]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("xcomp is about Linux on x86-64: there is no such permission elsewhere");

mod error;
mod feature;
mod prctl;

pub use error::Error;
pub use feature::{Feature, FeatureSet};

use prctl::Kind;

/// The extended features that this processor and kernel have together.
///
/// # Errors
///
/// [`Error::NotKnown`] (EINVAL): the kernel is older than 5.16.
pub fn supported() -> Result<FeatureSet, Error> {
    prctl::query(Kind::Supported)
}

/// The features that this process may use in its own code.
///
/// # Errors
///
/// [`Error::NotKnown`] (EINVAL): the kernel is older than 5.16.
pub fn permitted() -> Result<FeatureSet, Error> {
    prctl::query(Kind::Host)
}

/// The features that this process may give to the virtual CPUs it runs.
///
/// # Errors
///
/// [`Error::NotKnown`] (EINVAL): the kernel is older than 5.17.
pub fn guest_permitted() -> Result<FeatureSet, Error> {
    prctl::query(Kind::Guest)
}

/// Asks for the use of `feature` in this process's own code, for all its threads.
///
/// Asking again for what is permitted already is no error. The larger buffer is not
/// allocated here, but at each thread's first use.
///
/// # Errors
///
/// * [`Error::NotKnown`] (EINVAL): no such feature number, or the kernel is older than 5.16.
/// * [`Error::NotSupported`] (EOPNOTSUPP): this feature needs no permission, or the machine
///   lacks it.
/// * [`Error::AltStackTooSmall`] (ENOSPC): some thread's alternate signal stack is smaller
///   than a signal frame with the feature's state. Nothing has changed.
pub fn request(feature: Feature) -> Result<(), Error> {
    prctl::request(Kind::Host, feature)
}

/// Asks for leave to give `feature` to the virtual CPUs of this process.
///
/// To be called before the first virtual CPU is made. It leaves [`permitted`] as it is.
///
/// # Errors
///
/// * [`Error::NotKnown`] (EINVAL): no such feature number, or the kernel is older than 5.17.
/// * [`Error::NotSupported`] (EOPNOTSUPP): as for [`request`].
/// * [`Error::VcpuExists`] (EBUSY): the process has, or had, a virtual CPU.
pub fn request_guest(feature: Feature) -> Result<(), Error> {
    prctl::request(Kind::Guest, feature)
}
