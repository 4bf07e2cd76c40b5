// SPDX-License-Identifier: GPL-2.0
//! Memory that arrives on command: userfaultfd(2).
#![expect(unsafe_code, reason = "userfaultfd() and its mapping")]

use anyhow::{ensure, Context};
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Bytes in a page.
pub const PAGE: usize = 4096;

/// Pages on which every access waits until [`SlowMemory::give`].
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
    /// New pages, none of which has arrived.
    ///
    /// # Errors
    ///
    /// There is no memory, or the caller is not root, as handling the kernel's own faults requires.
    pub fn new(pages: usize) -> anyhow::Result<Self> {
        // SAFETY: the call accesses no memory.
        let fd =
            unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
        ensure!(fd >= 0, "userfaultfd: {}", Error::last_os_error());
        // SAFETY: a new file descriptor, which nothing else owns.
        let faults = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // SAFETY: a new mapping at an address that the kernel chooses.
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

    /// The address of page `page`.
    #[must_use]
    pub fn address(&self, page: usize) -> usize {
        assert!(page < self.pages);
        self.base + page * PAGE
    }

    /// The number of a page that a task has started to wait for; `None` if none does within `patience`.
    ///
    /// # Errors
    ///
    /// The kernel reports anything else.
    pub fn next_fault(&self, patience: Duration) -> anyhow::Result<Option<usize>> {
        let mut poll = libc::pollfd {
            fd: self.faults.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: poll writes only the one structure it is given.
        if unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as i32) } <= 0 {
            return Ok(None);
        }
        let mut message = [0_u64; 4];
        // SAFETY: read writes at most the 32 bytes of `message`.
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

    /// Supplies page `page` with these contents, and wakes the tasks waiting for it.
    ///
    /// # Errors
    ///
    /// EEXIST: the page is already present.
    pub fn give(&self, page: usize, content: &[u8; PAGE]) -> Result<()> {
        let to = self.address(page) as u64;
        self.ask(
            UFFDIO_COPY,
            &mut [to, content.as_ptr() as u64, PAGE as u64, 0, 0],
        )
    }

    fn ask<const N: usize>(&self, request: u64, argument: &mut [u64; N]) -> Result<()> {
        // SAFETY: the request number encodes the size of `argument`; UFFDIO_COPY reads a page that `give` borrows.
        match unsafe { libc::ioctl(self.faults.as_raw_fd(), request as _, argument.as_mut_ptr()) } {
            0 => Ok(()),
            _ => Err(Error::last_os_error()),
        }
    }
}
