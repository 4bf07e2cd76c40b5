// SPDX-License-Identifier: GPL-2.0
//! Memory shared by processes, in a memfd, so that it outlives each of them, and exec.
#![expect(unsafe_code, reason = "shared mappings")]

use std::io::{Error, ErrorKind, Result};
use std::{mem, ptr};

/// Types that can be shared.
///
/// # Safety
///
/// Any bytes, including zeros, must be a valid value, and other processes may change them at any time: the type must
/// consist of atomics and arrays of atomics.
pub unsafe trait Shareable: Sync {}

/// New zeroed memory, for this process and those it forks.
///
/// # Errors
///
/// ENOMEM, ENOSYS.
pub fn anonymous<T: Shareable>() -> Result<&'static T> {
    let (memory, fd) = create()?;
    // SAFETY: the descriptor is ours, and the mapping does not need it.
    unsafe { libc::close(fd) };
    Ok(memory)
}

/// New zeroed memory, and the file descriptor through which [`attach`] finds it.
///
/// # Errors
///
/// ENOMEM, ENOSYS.
pub fn create<T: Shareable>() -> Result<(&'static T, i32)> {
    // SAFETY: creates an unnamed file, and the name is a valid C string. It stays open across exec.
    let fd = unsafe { libc::memfd_create(c"shared".as_ptr(), 0) };
    // SAFETY: the file is ours, and not mapped yet.
    if fd < 0 || unsafe { libc::ftruncate(fd, size_of::<T>() as i64) } != 0 {
        return Err(Error::last_os_error());
    }
    Ok((attach(fd)?, fd))
}

/// The memory behind `fd`, which must hold the same type.
///
/// # Errors
///
/// There is no such memory behind this descriptor.
pub fn attach<T: Shareable>(fd: i32) -> Result<&'static T> {
    // SAFETY: all zeros is a valid stat.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: fstat only writes `stat`.
    if unsafe { libc::fstat(fd, &raw mut stat) } != 0 {
        return Err(Error::last_os_error());
    }
    if (stat.st_size as u64) < size_of::<T>() as u64 {
        return Err(ErrorKind::InvalidInput.into());
    }
    // SAFETY: a new shared mapping at an address that the kernel chooses.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<T>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    // SAFETY: page-aligned, long enough as checked above, never unmapped, and any content is valid: Shareable.
    Ok(unsafe { &*memory.cast::<T>() })
}
