// SPDX-License-Identifier: GPL-2.0
//! Guest memory the pages of which are slow to come: whoever touches one sleeps until it is brought
//! (userfaultfd).
#![allow(unsafe_code)]

use super::vm::Vm;
use anyhow::{ensure, Context};
use kvm_bindings::kvm_userspace_memory_region;
use std::fs::File;
use std::io::{Error, Read, Result};
use std::os::fd::FromRawFd;
use std::ptr;
use vmm_sys_util::ioctl::ioctl_with_mut_ref;

const PAGE: usize = 4096;
/// Where it begins, in the guest: behind all other memory.
const BASE: u64 = 1 << 30;
/// include/uapi/linux/userfaultfd.h.
const UFFD_API: u64 = 0xaa;
const UFFDIO_API: u64 = 0xc018_aa3f;
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
const UFFDIO_ZEROPAGE: u64 = 0xc020_aa04;
const MODE_MISSING: u64 = 1;
const EVENT_PAGEFAULT: u8 = 0x12;

/// The memory.
pub struct SlowPages {
    faults: File,
    start: usize,
}

impl SlowPages {
    /// Adds so many pages to a virtual machine.
    ///
    /// # Errors
    ///
    /// No userfaultfd, or not for faults in the kernel; what KVM says.
    pub fn new(vm: &Vm, pages: usize) -> anyhow::Result<Self> {
        let (size, rw) = (pages * PAGE, libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping wherever there is room, which stays.
        let map = unsafe { libc::mmap(ptr::null_mut(), size, rw, flags, -1, 0) };
        ensure!(map != libc::MAP_FAILED, "mmap: {}", Error::last_os_error());
        // SAFETY: no memory is touched.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) } as i32;
        ensure!(fd >= 0, "userfaultfd: {}", Error::last_os_error());
        // SAFETY: new, and ours.
        let faults = unsafe { File::from_raw_fd(fd) };
        let slow = SlowPages {
            faults,
            start: map.expose_provenance(),
        };
        slow.request(UFFDIO_API, &mut [UFFD_API, 0, 0])
            .context("UFFDIO_API")?;
        let mut range = [slow.start as u64, size as u64, MODE_MISSING, 0];
        slow.request(UFFDIO_REGISTER, &mut range)
            .context("UFFDIO_REGISTER")?;
        let region = kvm_userspace_memory_region {
            slot: 1,
            flags: 0,
            guest_phys_addr: BASE,
            memory_size: size as u64,
            userspace_addr: slow.start as u64,
        };
        // SAFETY: all of the region is mapped, for good.
        unsafe { vm.fd.set_user_memory_region(region) }.context("KVM_SET_USER_MEMORY_REGION")?;
        Ok(slow)
    }

    /// The guest's address of a page.
    #[must_use]
    pub fn address(&self, page: usize) -> u64 {
        BASE + (page * PAGE) as u64
    }

    /// Waits until somebody sleeps for a page; its number.
    ///
    /// # Errors
    ///
    /// Another event.
    pub fn wanted(&self) -> anyhow::Result<usize> {
        let mut message = [0; 32];
        (&self.faults)
            .read_exact(&mut message)
            .context("userfaultfd")?;
        ensure!(message[0] == EVENT_PAGEFAULT, "event {:#x}", message[0]);
        let address = message[16..24]
            .iter()
            .rev()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        Ok((address - self.start) / PAGE)
    }

    /// Brings a page, of zeros.
    ///
    /// # Errors
    ///
    /// It is there.
    pub fn bring(&self, page: usize) -> Result<()> {
        let mut range = [(self.start + page * PAGE) as u64, PAGE as u64, 0, 0];
        self.request(UFFDIO_ZEROPAGE, &mut range)
    }

    fn request<const N: usize>(&self, number: u64, words: &mut [u64; N]) -> Result<()> {
        // SAFETY: the three numbers above have structs of three, four and four words.
        match unsafe { ioctl_with_mut_ref(&self.faults, number, words) } {
            0 => Ok(()),
            _ => Err(Error::last_os_error()),
        }
    }
}
