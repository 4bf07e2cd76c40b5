// SPDX-License-Identifier: GPL-2.0
//! A vCPU's XSAVE area, in the format of KVM's ioctls.

use super::ioctls::{self, Fenced};
use super::vcpu::Vcpu;
use super::TILES;
use anyhow::{ensure, Context};
use std::io;
use std::ops::Range;

/// Which components it has.
pub const XSTATE_BV: usize = 512;
/// The format, if it is compacted: here it is 0.
pub const XCOMP_BV: usize = 520;
/// The rest of the header.
pub const RESERVED: Range<usize> = 528..576;
/// MXCSR, and the mask of its bits behind it.
pub const MXCSR: usize = 24;
/// XMM0, and behind it the other 15.
pub const XMM0: usize = 160;
/// Component 17.
pub const CONFIG: usize = 2752;
/// Component 18.
pub const DATA: usize = 2816;

/// The errno of an ioctl; 0 if it did what it should.
#[must_use]
pub fn errno(result: io::Result<()>) -> i32 {
    result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0)
}

/// An area.
#[derive(Clone, PartialEq, Eq)]
pub struct Area(pub Vec<u8>);

impl Area {
    /// The vCPU's, into `size` bytes.
    ///
    /// # Errors
    ///
    /// EFAULT: it is larger.
    pub fn of(vcpu: &Vcpu, size: usize) -> anyhow::Result<Self> {
        let mut place = Fenced::new(&vec![0xa5; size])?;
        ioctls::get_xsave2(&vcpu.fd, &mut place).context("KVM_GET_XSAVE2")?;
        Ok(Area(place.bytes()))
    }

    /// Gives it to a vCPU; the errno.
    ///
    /// # Errors
    ///
    /// ENOMEM, of this process.
    pub fn give(&self, vcpu: &Vcpu) -> anyhow::Result<i32> {
        Ok(errno(ioctls::set_xsave(&vcpu.fd, &Fenced::new(&self.0)?)))
    }

    /// Eight bytes of it.
    #[must_use]
    pub fn word(&self, at: usize) -> u64 {
        self.0[at..at + 8]
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte))
    }

    /// The same with other eight bytes.
    #[must_use]
    pub fn with(&self, at: usize, word: u64) -> Self {
        let mut changed = self.clone();
        changed.0[at..at + 8].copy_from_slice(&word.to_le_bytes());
        changed
    }

    /// Which of AMX's two components it has.
    #[must_use]
    pub fn tile_bits(&self) -> u64 {
        self.word(XSTATE_BV) & TILES
    }

    /// It has these of AMX's two components.
    ///
    /// # Errors
    ///
    /// It has others.
    pub fn expect_tile_bits(&self, expected: u64) -> anyhow::Result<()> {
        let is = self.tile_bits();
        ensure!(
            is == expected,
            "XSTATE_BV[18:17] {is:#x}, expected {expected:#x}"
        );
        Ok(())
    }
}
