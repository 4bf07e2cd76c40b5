// SPDX-License-Identifier: GPL-2.0
//! A vCPU's XSAVE area, in the format of KVM's ioctls.

use super::ioctls::{self, Fenced};
use super::vcpu::Vcpu;
use super::TILES;
use anyhow::{ensure, Context};
use std::io;
use std::ops::Range;

/// Offset of the bitmap of components in use.
pub const XSTATE_BV: usize = 512;
/// Offset of the compacted format's bitmap, which is 0 here.
pub const XCOMP_BV: usize = 520;
/// The rest of the header.
pub const RESERVED: Range<usize> = 528..576;
/// MXCSR, followed by the mask of its valid bits.
pub const MXCSR: usize = 24;
/// XMM0, followed by the other 15.
pub const XMM0: usize = 160;
/// Component 17.
pub const CONFIG: usize = 2752;
/// Component 18.
pub const DATA: usize = 2816;

/// The errno of an ioctl; 0 if it succeeded.
#[must_use]
pub fn errno(result: io::Result<()>) -> i32 {
    result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0)
}

/// An area.
#[derive(Clone, PartialEq, Eq)]
pub struct Area(pub Vec<u8>);

impl Area {
    /// Reads the vCPU's area into `size` bytes.
    ///
    /// # Errors
    ///
    /// EFAULT: the area is larger.
    pub fn of(vcpu: &Vcpu, size: usize) -> anyhow::Result<Self> {
        let mut place = Fenced::new(&vec![0xa5; size])?;
        ioctls::get_xsave2(&vcpu.fd, &mut place).context("KVM_GET_XSAVE2")?;
        Ok(Area(place.bytes()))
    }

    /// Sets it in a vCPU, and returns the errno.
    ///
    /// # Errors
    ///
    /// ENOMEM in this process.
    pub fn give(&self, vcpu: &Vcpu) -> anyhow::Result<i32> {
        Ok(errno(ioctls::set_xsave(&vcpu.fd, &Fenced::new(&self.0)?)))
    }

    /// Eight bytes of the area.
    #[must_use]
    pub fn word(&self, at: usize) -> u64 {
        self.0[at..at + 8]
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte))
    }

    /// The same area with eight bytes replaced.
    #[must_use]
    pub fn with(&self, at: usize, word: u64) -> Self {
        let mut changed = self.clone();
        changed.0[at..at + 8].copy_from_slice(&word.to_le_bytes());
        changed
    }

    /// Which of AMX's two components are in use.
    #[must_use]
    pub fn tile_bits(&self) -> u64 {
        self.word(XSTATE_BV) & TILES
    }

    /// Checks which of AMX's two components are in use.
    ///
    /// # Errors
    ///
    /// Different ones are in use.
    pub fn expect_tile_bits(&self, expected: u64) -> anyhow::Result<()> {
        let is = self.tile_bits();
        ensure!(
            is == expected,
            "XSTATE_BV[18:17] {is:#x}, expected {expected:#x}"
        );
        Ok(())
    }
}
