// SPDX-License-Identifier: GPL-2.0
//! Memory that comes when told: userfaultfd(2).
#![allow(unsafe_code)]

use anyhow::{ensure, Context};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// Pages of which each use waits until [`SlowMemory::give`].
pub struct SlowMemory {
    faults: OwnedFd,
    base: usize,
    pages: usize,
}

// include/uapi/linux/userfaultfd.h
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const UFFDIO_COPY: u64 = 0xc028_aa03;
const UFFD_API: u64 = 0xaa;
const MODE_MISSING: u64 = 1;
const EVENT_PAGEFAULT: u64 = 0x12;

impl SlowMemory {
    /// So many pages, none of which has come.
    ///
    /// # Errors
    ///
    /// No memory, or not root: faults of the kernel's own are among them.
    pub fn new(pages: usize) -> anyhow::Result<Self> {
        // SAFETY: no memory is touched.
        let fd =
            unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
        ensure!(fd >= 0, "userfaultfd: {}", Error::last_os_error());
        // SAFETY: a new file descriptor.
        let faults = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // SAFETY: a new mapping, which nobody else knows.
        let base = unsafe {
            let (access, kind) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            );
            libc::mmap(ptr::null_mut(), pages * PAGE, access, kind, -1, 0)
        };
        ensure!(base != libc::MAP_FAILED, "mmap: {}", Error::last_os_error());
        let memory = SlowMemory {
            faults,
            base: base as usize,
            pages,
        };
        memory
            .ask(UFFDIO_API, &mut [UFFD_API, 0, 0])
            .context("UFFDIO_API")?;
        let range = &mut [base as u64, (pages * PAGE) as u64, MODE_MISSING, 0];
        memory
            .ask(UFFDIO_REGISTER, range)
            .context("UFFDIO_REGISTER")?;
        Ok(memory)
    }

    /// Where page `page` is, or will be.
    #[must_use]
    pub fn address(&self, page: usize) -> usize {
        assert!(page < self.pages);
        self.base + page * PAGE
    }

    /// The number of a page that somebody has begun to wait for; `None` if nobody does within `patience`.
    ///
    /// # Errors
    ///
    /// The kernel says something else.
    pub fn next_fault(&self, patience: Duration) -> anyhow::Result<Option<usize>> {
        let mut poll = libc::pollfd {
            fd: self.faults.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one structure, which is there.
        if unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as i32) } <= 0 {
            return Ok(None);
        }
        let mut message = [0_u64; 4];
        // SAFETY: as many bytes as `message` has.
        let read = unsafe { libc::read(self.faults.as_raw_fd(), message.as_mut_ptr().cast(), 32) };
        if read < 0 {
            return Ok(None);
        }
        ensure!(
            read == 32 && message[0] & 0xff == EVENT_PAGEFAULT,
            "event {:#x}",
            message[0]
        );
        Ok(Some((message[2] as usize - self.base) / PAGE))
    }

    /// Lets page `page` come, with this content; who waits for it goes on.
    ///
    /// # Errors
    ///
    /// EEXIST: it is there.
    pub fn give(&self, page: usize, content: &[u8; PAGE]) -> Result<()> {
        let to = self.address(page) as u64;
        self.ask(
            UFFDIO_COPY,
            &mut [to, content.as_ptr() as u64, PAGE as u64, 0, 0],
        )
    }

    fn ask<const N: usize>(&self, request: u64, argument: &mut [u64; N]) -> Result<()> {
        // SAFETY: the number of words is in the request; UFFDIO_COPY reads a page that `give` borrows.
        match unsafe { libc::ioctl(self.faults.as_raw_fd(), request as _, argument.as_mut_ptr()) } {
            0 => Ok(()),
            _ => Err(Error::last_os_error()),
        }
    }
}
