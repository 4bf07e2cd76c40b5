// SPDX-License-Identifier: GPL-2.0
//! A single read through io_uring(7). The data is not available when the read is submitted. Once it arrives, the
//! kernel copies it in a task_work of the submitting thread, whatever that thread is doing.
#![expect(unsafe_code, reason = "memory shared with the kernel")]

use anyhow::{ensure, Context};
use std::io::Error;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Release};

// include/uapi/linux/io_uring.h
const OFF_RINGS: i64 = 0;
const OFF_SQES: i64 = 0x1000_0000;
const FEAT_SINGLE_MMAP: u32 = 1;
const OP_READ: u32 = 22;
/// The number of words in struct io_uring_params, and the indices of some of them.
const PARAMS: usize = 30;
const FEATURES: usize = 5;
const SQ_TAIL: usize = 11;
const SQ_ARRAY: usize = 16;
const CQ_TAIL: usize = 21;
const CQES: usize = 25;
const ENTRIES: u32 = 1;
/// Fits both rings, with one entry each.
const SIZE: usize = 4096;

/// The read.
pub struct SlowRead {
    _ring: OwnedFd,
    rings: *mut u8,
    places: [u32; PARAMS],
}

impl SlowRead {
    /// Submits a read of one byte from `from`, which has none yet, to address `to`.
    ///
    /// # Safety
    ///
    /// `to` must be a byte that only the caller uses, and that stays mapped; it may arrive late.
    ///
    /// # Errors
    ///
    /// io_uring is not available.
    pub unsafe fn begin(from: BorrowedFd, to: usize) -> anyhow::Result<Self> {
        let mut places = [0_u32; PARAMS];
        // SAFETY: the kernel only reads and writes `places`, which has the size of the structure.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut places) };
        ensure!(fd >= 0, "io_uring_setup: {}", Error::last_os_error());
        // SAFETY: a new file descriptor, which nothing else owns.
        let ring = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        ensure!(
            places[FEATURES] & FEAT_SINGLE_MMAP != 0,
            "the kernel is too old"
        );
        let (rings, entries) = (map(&ring, OFF_RINGS)?, map(&ring, OFF_SQES)?);
        let this = SlowRead {
            _ring: ring,
            rings,
            places,
        };
        // Opcode, flags and priority; file; offset, in two words; address, in two words; length.
        let entry = [
            OP_READ,
            from.as_raw_fd() as u32,
            !0,
            !0,
            to as u32,
            (to >> 32) as u32,
            1,
        ];
        // SAFETY: an entry has 64 bytes, all zero except for these, and the kernel reads it only after the tail moves.
        unsafe { ptr::copy_nonoverlapping(entry.as_ptr(), entries.cast(), entry.len()) };
        this.word(SQ_ARRAY, 0).store(0, Release);
        this.word(SQ_TAIL, 0).store(1, Release);
        let (ring, none) = (this._ring.as_raw_fd(), ptr::null::<u8>());
        // SAFETY: the kernel reads the entry written above; the caller vouches for `to`.
        let taken = unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, 1, 0, 0, none, 0) };
        ensure!(taken == 1, "io_uring_enter: {}", Error::last_os_error());
        Ok(this)
    }

    /// The result, as for read(2); `None` if not yet complete.
    #[must_use]
    pub fn result(&self) -> Option<i32> {
        let ended = self.word(CQ_TAIL, 0).load(Acquire) == 1;
        // The result follows user_data, which has two words.
        ended.then(|| self.word(CQES, 2).load(Acquire) as i32)
    }

    /// A word in the rings, `further` words past a place reported by the kernel.
    fn word(&self, place: usize, further: usize) -> &AtomicU32 {
        let at = self.places[place] as usize + 4 * further;
        assert!(at + 4 <= SIZE);
        // SAFETY: within the mapping, which is never unmapped, aligned, and shared only with the kernel.
        unsafe { AtomicU32::from_ptr(self.rings.add(at).cast()) }
    }
}

fn map(ring: &OwnedFd, offset: i64) -> anyhow::Result<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let map = unsafe {
        let null = ptr::null_mut();
        libc::mmap(
            null,
            SIZE,
            access,
            libc::MAP_SHARED,
            ring.as_raw_fd(),
            offset,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(Error::last_os_error()).context("mmap of io_uring");
    }
    Ok(map.cast())
}
