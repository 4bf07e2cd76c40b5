// SPDX-License-Identifier: GPL-2.0
//! Permission to use dynamically enabled x86 extended features on Linux.
//!
//! The state of some processor features is so large that the kernel reserves no memory for it until
//! a process asks. The first of these is AMX tile data, with 8,192 bytes per thread. A process asks
//! once, with `arch_prctl` (options 0x1021 to 0x1025, `uapi/asm/prctl.h`), before it executes an
//! instruction that uses the feature. Without permission that instruction raises `SIGILL` with
//! `si_code` `ILL_ILLOPC`.
//!
//! * The permission belongs to the process: all of its threads get it at once, including those that
//!   are already running.
//! * It cannot be given back. `fork` copies it, and `execve` clears it.
//! * The host permission (for the program's own instructions) and the guest permission (for the
//!   virtual CPUs that it runs with KVM) are independent.
//!
//! # Example
//!
//! ```
//! use xcomp::{Error, Feature};
//!
//! match xcomp::request(Feature::TILE_DATA) {
//!     Ok(()) => assert!(xcomp::permitted()?.contains(Feature::TILE_DATA)),
//!     // The processor or the kernel does not have AMX: compute without it.
//!     Err(Error::NotSupported | Error::NotKnown) => {}
//!     // The alternate signal stack of a thread is too small for a signal frame with tile data:
//!     // allocate at least `getauxval(AT_MINSIGSTKSZ)` bytes and ask again.
//!     Err(Error::AltStackTooSmall) => {}
//!     Err(error) => return Err(error),
//! }
//! # Ok::<(), Error>(())
//! ```
#![no_std]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("xcomp only works on Linux on x86-64");

mod error;
mod feature;
mod prctl;

pub use error::Error;
pub use feature::{Feature, FeatureSet};

use prctl::Kind;

/// The extended features that both this processor and this kernel support.
///
/// Like the other functions of this crate, this makes one system call, is thread-safe, and may be
/// called in a signal handler.
///
/// # Errors
///
/// [`Error::NotKnown`] (EINVAL): the kernel is older than 5.16.
///
/// ```
/// // Every x86-64 machine has x87 and SSE.
/// let legacy = xcomp::FeatureSet::from_bits(0b11);
/// assert!(legacy.is_subset(xcomp::supported()?));
/// # Ok::<(), xcomp::Error>(())
/// ```
pub fn supported() -> Result<FeatureSet, Error> {
    prctl::query(Kind::Supported)
}

/// The features that this process may use in its own code.
///
/// # Errors
///
/// [`Error::NotKnown`] (EINVAL): the kernel is older than 5.16.
///
/// ```
/// assert!(xcomp::permitted()?.is_subset(xcomp::supported()?));
/// # Ok::<(), xcomp::Error>(())
/// ```
pub fn permitted() -> Result<FeatureSet, Error> {
    prctl::query(Kind::Host)
}

/// The features that this process may give to the virtual CPUs that it runs.
///
/// # Errors
///
/// [`Error::NotKnown`] (EINVAL): the kernel is older than 5.17.
///
/// ```
/// assert!(xcomp::guest_permitted()?.is_subset(xcomp::supported()?));
/// # Ok::<(), xcomp::Error>(())
/// ```
pub fn guest_permitted() -> Result<FeatureSet, Error> {
    prctl::query(Kind::Guest)
}

/// Requests permission for all threads of this process to use `feature`.
///
/// Requesting what is already permitted is not an error. The kernel does not allocate the larger
/// buffer now, but when a thread first uses the feature.
///
/// # Errors
///
/// * [`Error::NotKnown`] (EINVAL): no feature has this number, or the kernel is older than 5.16.
/// * [`Error::NotSupported`] (EOPNOTSUPP): the feature needs no permission, or the machine lacks
///   it.
/// * [`Error::AltStackTooSmall`] (ENOSPC): a thread's alternate signal stack is smaller than a
///   signal frame with the feature's state. Nothing has changed.
///
/// ```
/// use xcomp::{Error, Feature};
///
/// // AVX state needs no permission, and component 64 does not exist.
/// assert_eq!(xcomp::request(Feature::from_component(2)), Err(Error::NotSupported));
/// assert_eq!(xcomp::request(Feature::from_component(64)), Err(Error::NotKnown));
/// ```
pub fn request(feature: Feature) -> Result<(), Error> {
    prctl::request(Kind::Host, feature)
}

/// Requests permission to give `feature` to this process's virtual CPUs.
///
/// Call this before the first virtual CPU is created. It does not change [`permitted`].
///
/// # Errors
///
/// * [`Error::NotKnown`] (EINVAL): no feature has this number, or the kernel is older than 5.17.
/// * [`Error::NotSupported`] (EOPNOTSUPP): same as for [`request`].
/// * [`Error::VcpuExists`] (EBUSY): the process has, or had, a virtual CPU.
///
/// ```
/// use xcomp::{Error, Feature};
///
/// let before = xcomp::permitted()?;
/// match xcomp::request_guest(Feature::TILE_DATA) {
///     Ok(()) => assert!(xcomp::guest_permitted()?.contains(Feature::TILE_DATA)),
///     Err(error) => assert_eq!(error, Error::NotSupported),
/// }
/// assert_eq!(xcomp::permitted()?, before);
/// # Ok::<(), Error>(())
/// ```
pub fn request_guest(feature: Feature) -> Result<(), Error> {
    prctl::request(Kind::Guest, feature)
}
