// SPDX-License-Identifier: GPL-2.0
//! Memory that processes share, in a memfd, so that it outlives every one of them, and exec.
#![allow(unsafe_code)]

use std::io::{Error, ErrorKind, Result};
use std::{mem, ptr};

/// What can be shared.
///
/// # Safety
///
/// Any content is a value, zeros too, and others may change it at any time: atomics, and arrays of them.
pub unsafe trait Shareable: Sync {}

/// New memory, all zero, for a process and those that it forks.
///
/// # Errors
///
/// ENOMEM, ENOSYS.
pub fn anonymous<T: Shareable>() -> Result<&'static T> {
    let (memory, fd) = create()?;
    // SAFETY: a descriptor that is ours; the mapping stays.
    unsafe { libc::close(fd) };
    Ok(memory)
}

/// New memory, all zero, and the file descriptor by which [`attach`] finds it.
///
/// # Errors
///
/// ENOMEM, ENOSYS.
pub fn create<T: Shareable>() -> Result<(&'static T, i32)> {
    // SAFETY: creates a file without a name; it stays open over exec.
    let fd = unsafe { libc::memfd_create(c"shared".as_ptr(), 0) };
    // SAFETY: a file that is ours.
    if fd < 0 || unsafe { libc::ftruncate(fd, size_of::<T>() as i64) } != 0 {
        return Err(Error::last_os_error());
    }
    Ok((attach(fd)?, fd))
}

/// The memory behind `fd`, which is of the same type.
///
/// # Errors
///
/// There is none behind this descriptor.
pub fn attach<T: Shareable>(fd: i32) -> Result<&'static T> {
    // SAFETY: all zeros is a valid stat, which fstat writes.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    // SAFETY: as above.
    if unsafe { libc::fstat(fd, &raw mut stat) } != 0 {
        return Err(Error::last_os_error());
    }
    if (stat.st_size as u64) < size_of::<T>() as u64 {
        return Err(ErrorKind::InvalidInput.into());
    }
    // SAFETY: a new shared mapping wherever there is room.
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
    // SAFETY: page-aligned, long enough as was looked at, never unmapped, and any content is valid: Shareable.
    Ok(unsafe { &*memory.cast::<T>() })
}
