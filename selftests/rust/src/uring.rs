// SPDX-License-Identifier: GPL-2.0
//! One read by io_uring(7). What it reads is not there when it is asked for; once it comes, the kernel copies it
//! as a task_work of the thread that asked, whatever that thread does meanwhile.
#![allow(unsafe_code)]

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
/// Words of struct io_uring_params, and some of them.
const PARAMS: usize = 30;
const FEATURES: usize = 5;
const SQ_TAIL: usize = 11;
const SQ_ARRAY: usize = 16;
const CQ_TAIL: usize = 21;
const CQES: usize = 25;
const ENTRIES: u32 = 1;
/// Both rings of one entry are within it.
const SIZE: usize = 4096;

/// The read.
pub struct SlowRead {
    _ring: OwnedFd,
    rings: *mut u8,
    places: [u32; PARAMS],
}

impl SlowRead {
    /// Asks for one byte of `from`, where there is none yet, to be written to `to`.
    ///
    /// # Safety
    ///
    /// `to` is a byte of the caller's own, and stays; it may come late.
    ///
    /// # Errors
    ///
    /// No io_uring.
    pub unsafe fn begin(from: BorrowedFd, to: usize) -> anyhow::Result<Self> {
        let mut places = [0_u32; PARAMS];
        // SAFETY: the kernel writes the structure, which has this size.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut places) };
        ensure!(fd >= 0, "io_uring_setup: {}", Error::last_os_error());
        // SAFETY: a new file descriptor.
        let ring = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        ensure!(places[FEATURES] & FEAT_SINGLE_MMAP != 0, "an old kernel");
        let (rings, entries) = (map(&ring, OFF_RINGS)?, map(&ring, OFF_SQES)?);
        let this = SlowRead {
            _ring: ring,
            rings,
            places,
        };
        // opcode, flags and priority; file; offset, twice; address; length
        let entry = [
            OP_READ,
            from.as_raw_fd() as u32,
            !0,
            !0,
            to as u32,
            (to >> 32) as u32,
            1,
        ];
        // SAFETY: an entry has 64 bytes, zero but for these, and nobody reads it before the tail says so.
        unsafe { ptr::copy_nonoverlapping(entry.as_ptr(), entries.cast(), entry.len()) };
        this.word(SQ_ARRAY, 0).store(0, Release);
        this.word(SQ_TAIL, 0).store(1, Release);
        let (ring, none) = (this._ring.as_raw_fd(), ptr::null::<u8>());
        // SAFETY: what it reads was written above; the caller vouches for `to`.
        let taken = unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, 1, 0, 0, none, 0) };
        ensure!(taken == 1, "io_uring_enter: {}", Error::last_os_error());
        Ok(this)
    }

    /// What it ended with, as read(2) has it; `None`: it has not ended.
    #[must_use]
    pub fn result(&self) -> Option<i32> {
        let ended = self.word(CQ_TAIL, 0).load(Acquire) == 1;
        // After user_data, two words.
        ended.then(|| self.word(CQES, 2).load(Acquire) as i32)
    }

    /// A word of the rings, `further` behind where the kernel says that something begins.
    fn word(&self, place: usize, further: usize) -> &AtomicU32 {
        let at = self.places[place] as usize + 4 * further;
        assert!(at + 4 <= SIZE);
        // SAFETY: within the mapping, which stays, and aligned; shared with the kernel only.
        unsafe { AtomicU32::from_ptr(self.rings.add(at).cast()) }
    }
}

fn map(ring: &OwnedFd, offset: i64) -> anyhow::Result<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping wherever there is room.
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
