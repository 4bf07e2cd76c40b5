// SPDX-License-Identifier: GPL-2.0
//! Ioctls that kvm-ioctls lacks, and XSAVE area ioctls with exactly the number of bytes that the
//! kernel reads or writes.
#![expect(unsafe_code, reason = "ioctls on raw memory")]

use kvm_bindings::{kvm_device_attr, kvm_one_reg, KVM_REG_SIZE_U64, KVM_REG_X86};
use kvm_ioctls::{Kvm, VcpuFd};
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ptr, ioctl_with_ref};

use number::*;

/// Ioctl numbers (include/uapi/linux/kvm.h).
mod number {
    use kvm_bindings::{kvm_device_attr, kvm_one_reg, kvm_xsave, KVMIO};
    use vmm_sys_util::{ioctl_io_nr, ioctl_ior_nr, ioctl_iow_nr};

    ioctl_ior_nr!(KVM_GET_XSAVE, KVMIO, 0xa4, kvm_xsave);
    ioctl_iow_nr!(KVM_SET_XSAVE, KVMIO, 0xa5, kvm_xsave);
    ioctl_io_nr!(KVM_RUN, KVMIO, 0x80);
    ioctl_io_nr!(KVM_GET_STATS_FD, KVMIO, 0xce);
    ioctl_iow_nr!(KVM_GET_ONE_REG, KVMIO, 0xab, kvm_one_reg);
    ioctl_iow_nr!(KVM_SET_ONE_REG, KVMIO, 0xac, kvm_one_reg);
    ioctl_ior_nr!(KVM_GET_XSAVE2, KVMIO, 0xcf, kvm_xsave);
    ioctl_iow_nr!(KVM_GET_DEVICE_ATTR, KVMIO, 0xe2, kvm_device_attr);
}

fn checked(result: i32) -> Result<i32> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Accessible bytes right before an inaccessible page: the kernel gets EFAULT at the first byte past
/// them.
pub struct Fenced {
    map: *mut u8,
    pages: usize,
    size: usize,
}

const PAGE: usize = 4096;

impl Fenced {
    /// A copy of `bytes`.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let (size, pages) = (bytes.len(), bytes.len().div_ceil(PAGE) * PAGE);
        let (rw, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping at an address that the kernel chooses.
        let map =
            unsafe { libc::mmap(ptr::null_mut(), pages + PAGE, libc::PROT_NONE, flags, -1, 0) };
        if map == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        let fenced = Fenced {
            map: map.cast(),
            pages,
            size,
        };
        // SAFETY: changes part of that mapping, which nothing else uses yet.
        checked(unsafe { libc::mprotect(map, pages, rw) })?;
        // SAFETY: the last `size` bytes before the last page are mapped and writable.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), fenced.start(), size) };
        Ok(fenced)
    }

    fn start(&self) -> *mut u8 {
        self.map.wrapping_add(self.pages - self.size)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        // SAFETY: readable, and written by the kernel only during calls that borrow it mutably.
        unsafe { std::slice::from_raw_parts(self.start(), self.size) }.to_vec()
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the mapping any longer.
        unsafe { libc::munmap(self.map.cast(), self.pages + PAGE) };
    }
}

/// KVM_GET_XSAVE into all of `place`.
///
/// # Errors
///
/// EINVAL: the vCPU's state is larger than this call's 4,096 bytes. EFAULT: `place` is smaller.
pub fn get_xsave(vcpu: &VcpuFd, place: &mut Fenced) -> Result<()> {
    // SAFETY: the kernel writes at most all of `place`, since the page after it is inaccessible.
    checked(unsafe { ioctl_with_mut_ptr(vcpu, KVM_GET_XSAVE(), place.start()) }).map(drop)
}

/// KVM_GET_XSAVE2 into all of `place`.
///
/// # Errors
///
/// EFAULT: `place` is smaller than the vCPU's state.
pub fn get_xsave2(vcpu: &VcpuFd, place: &mut Fenced) -> Result<()> {
    // SAFETY: the kernel writes at most all of `place`, since the page after it is inaccessible.
    checked(unsafe { ioctl_with_mut_ptr(vcpu, KVM_GET_XSAVE2(), place.start()) }).map(drop)
}

/// KVM_SET_XSAVE from `place`.
///
/// # Errors
///
/// EFAULT: `place` is smaller than the vCPU's state. EINVAL: the state is invalid for this vCPU.
pub fn set_xsave(vcpu: &VcpuFd, place: &Fenced) -> Result<()> {
    // SAFETY: the kernel only reads, and cannot read past `place`.
    checked(unsafe { ioctl_with_mut_ptr(vcpu, KVM_SET_XSAVE(), place.start()) }).map(drop)
}

/// KVM_X86_REG_TYPE_MSR in arch/x86/include/uapi/asm/kvm.h.
const TYPE_MSR: u64 = 2;

/// KVM_X86_REG_MSR() there.
fn id_of_msr(index: u32) -> u64 {
    KVM_REG_X86 | KVM_REG_SIZE_U64 | TYPE_MSR << 32 | u64::from(index)
}

/// KVM_GET_ONE_REG of an MSR.
///
/// # Errors
///
/// EINVAL: KVM refuses it, or has no MSRs there (before Linux 6.18).
pub fn get_one_msr(vcpu: &VcpuFd, index: u32) -> Result<u64> {
    let mut value = 0u64;
    let register = kvm_one_reg {
        id: id_of_msr(index),
        addr: ptr::from_mut(&mut value) as u64,
    };
    // SAFETY: the kernel reads `register`, and writes the 8 bytes to which it points.
    checked(unsafe { ioctl_with_ref(vcpu, KVM_GET_ONE_REG(), &register) })?;
    Ok(value)
}

/// KVM_SET_ONE_REG of an MSR.
///
/// # Errors
///
/// EINVAL: KVM refuses it, or has no MSRs there (before Linux 6.18).
pub fn set_one_msr(vcpu: &VcpuFd, index: u32, value: u64) -> Result<()> {
    let register = kvm_one_reg {
        id: id_of_msr(index),
        addr: ptr::from_ref(&value) as u64,
    };
    // SAFETY: the kernel reads `register`, and the 8 bytes to which it points.
    checked(unsafe { ioctl_with_ref(vcpu, KVM_SET_ONE_REG(), &register) }).map(drop)
}

/// vCPU ioctls, by name and number.
pub const OF_A_VCPU: [(&str, u64); 8] = [
    ("KVM_RUN", 0xae80),
    ("KVM_SET_MSRS", 0x4008_ae89),
    ("KVM_SET_CPUID2", 0x4008_ae90),
    ("KVM_GET_XSAVE", 0x9000_aea4),
    ("KVM_SET_XSAVE", 0x5000_aea5),
    ("KVM_GET_XCRS", 0x8188_aea6),
    ("KVM_SET_XCRS", 0x4188_aea7),
    ("KVM_GET_XSAVE2", 0x9000_aecf),
];

/// Any ioctl that uses no more than `place`.
///
/// # Errors
///
/// Errors from the ioctl.
pub fn bare(fd: i32, number: u64, place: &mut Fenced) -> Result<()> {
    // SAFETY: the kernel cannot access anything past `place`.
    checked(unsafe { ioctl_with_mut_ptr(&fd, number, place.start()) }).map(drop)
}

/// A single KVM_RUN of a vCPU that another thread may be running: waits until that thread leaves it.
///
/// # Errors
///
/// EINTR.
pub fn run(vcpu: &VcpuFd) -> Result<()> {
    // SAFETY: the kernel writes only to its own mapping of the vCPU.
    checked(unsafe { ioctl(vcpu, KVM_RUN()) }).map(drop)
}

/// KVM_GET_STATS_FD of a vCPU.
///
/// # Errors
///
/// EMFILE.
pub fn stats(vcpu: &VcpuFd) -> Result<File> {
    // SAFETY: the ioctl accesses no memory.
    let fd = checked(unsafe { ioctl(vcpu, KVM_GET_STATS_FD()) })?;
    // SAFETY: a new file descriptor, which nothing else owns.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// KVM_GET_DEVICE_ATTR on KVM itself: the 64-bit attribute `attr` in `group`.
///
/// # Errors
///
/// ENXIO: the attribute does not exist.
pub fn attribute(kvm: &Kvm, group: u32, attr: u64) -> Result<u64> {
    let mut value = 0_u64;
    let request = kvm_device_attr {
        flags: 0,
        group,
        attr,
        addr: (&raw mut value).expose_provenance() as u64,
    };
    // SAFETY: the kernel writes only the eight bytes of `value`.
    checked(unsafe { ioctl_with_ref(&kvm.as_raw_fd(), KVM_GET_DEVICE_ATTR(), &request) })?;
    Ok(value)
}
