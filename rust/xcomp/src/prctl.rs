// SPDX-License-Identifier: GPL-2.0
//! The crate's only system call.

use crate::{Error, Feature, FeatureSet};
use syscalls::{syscall, Errno, Sysno};

/// Whose features a call refers to.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// The machine's. They cannot be requested.
    Supported,
    /// Those that the process may use itself.
    Host,
    /// Those that the process may give to virtual CPUs.
    Guest,
}

// uapi/asm/prctl.h:13-17.
const ARCH_GET_XCOMP_SUPP: usize = 0x1021;
const ARCH_GET_XCOMP_PERM: usize = 0x1022;
const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
const ARCH_GET_XCOMP_GUEST_PERM: usize = 0x1024;
const ARCH_REQ_XCOMP_GUEST_PERM: usize = 0x1025;

/// Reads a mask (`fpu_xstate_prctl()`, arch/x86/kernel/fpu/xstate.c).
pub(crate) fn query(kind: Kind) -> Result<FeatureSet, Error> {
    let option = match kind {
        Kind::Supported => ARCH_GET_XCOMP_SUPP,
        Kind::Host => ARCH_GET_XCOMP_PERM,
        Kind::Guest => ARCH_GET_XCOMP_GUEST_PERM,
    };
    let mut bits = 0;
    arch_prctl(option, Argument::Out(&mut bits))?;
    Ok(FeatureSet::from_bits(bits))
}

/// Requests a feature. There is no request for the machine, so it yields `NotKnown`.
pub(crate) fn request(kind: Kind, feature: Feature) -> Result<(), Error> {
    let option = match kind {
        Kind::Supported => return Err(Error::NotKnown),
        Kind::Host => ARCH_REQ_XCOMP_PERM,
        Kind::Guest => ARCH_REQ_XCOMP_GUEST_PERM,
    };
    Ok(arch_prctl(option, Argument::Number(feature.component()))?)
}

/// The second argument: an address to which the kernel writes eight bytes, or a component number.
enum Argument<'a> {
    Out(&'a mut u64),
    Number(u64),
}

#[expect(unsafe_code, reason = "a system call")]
fn arch_prctl(option: usize, argument: Argument<'_>) -> Result<(), Errno> {
    let argument = match argument {
        Argument::Out(place) => core::ptr::from_mut(place).expose_provenance(),
        // On x86-64 usize has 64 bits.
        Argument::Number(number) => number as usize,
    };
    // SAFETY: of the options in this file, GET_* write one u64 to the place that `argument` borrows
    // exclusively until this call returns, and REQ_* write nothing. None of them changes any other
    // memory or register that the compiler knows about.
    unsafe { syscall!(Sysno::arch_prctl, option, argument) }.map(|_| ())
}
