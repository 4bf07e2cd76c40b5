// SPDX-License-Identifier: GPL-2.0
//! Inspects a stopped traced thread.

use nix::libc::{self, c_int, c_long, c_void};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::ptr;

/// An exception that resulted in a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The thread.
    pub tid: i32,
    /// The thread's name.
    pub thread: String,
    /// The signal.
    pub signal: c_int,
    /// `si_code`.
    pub code: c_int,
    /// `si_addr`.
    pub address: u64,
    /// The instruction pointer.
    pub ip: u64,
    /// The bytes of the instruction and of what follows, at most 16; empty if they are unreadable.
    pub bytes: Vec<u8>,
    /// The stack pointer.
    pub sp: u64,
    /// The signal whose frame could not be written, so that its handler did not start.
    pub frame_of: Option<c_int>,
}

/// What the kernel reports about a system call.
pub enum Asked {
    /// The report.
    Info(libc::ptrace_syscall_info),
    /// The thread was killed in the meantime.
    Gone,
    /// The kernel does not report system calls (Linux before 5.3).
    Unknown,
}

/// The instruction pointer of `tid`, which stopped for `signal`, and the exception behind the signal, if there was one.
pub fn fault(tid: i32, signal: c_int) -> Option<(u64, Option<Fault>)> {
    let pid = Pid::from_raw(tid);
    let registers = nix::sys::ptrace::getregs(pid).ok()?;
    let ip = registers.rip;
    if !matches!(signal, libc::SIGILL | libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGTRAP) {
        return Some((ip, None));
    }
    let info = nix::sys::ptrace::getsiginfo(pid).ok()?;
    let fault = (info.si_code > 0).then(|| Fault {
        tid,
        thread: name_of(tid),
        signal,
        code: info.si_code,
        // SAFETY: siginfo of these signals has an address.
        address: unsafe { info.si_addr() } as u64,
        ip,
        bytes: memory_of(tid, ip, 16),
        sp: registers.rsp,
        frame_of: None,
    });
    Some((ip, fault))
}

/// Makes a ptrace request without a buffer. It does nothing if the thread was killed in the meantime.
///
/// # Errors
///
/// Fails if the thread is not a stopped tracee of ours.
pub fn request(request: libc::c_uint, tid: i32, data: c_int) -> io::Result<()> {
    let none: *mut c_void = ptr::null_mut();
    // SAFETY: none of these requests reads or writes our memory.
    if unsafe { libc::ptrace(request, tid, none, c_long::from(data)) } == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // It was killed in the meantime. waitpid() will report its end.
        error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}

/// The system call at which `tid` is stopped. nix's function of that name (0.30) passes a buffer size of 0.
pub fn syscall_info(tid: i32) -> Asked {
    let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
    let size = size_of_val(&info);
    // SAFETY: the kernel writes no more than `size` bytes there.
    let written = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, size, info.as_mut_ptr()) };
    if written > 0 {
        // SAFETY: all zeros is valid, and so is what the kernel wrote.
        return Asked::Info(unsafe { info.assume_init() });
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::ESRCH) => Asked::Gone,
        _ => Asked::Unknown,
    }
}

/// The thread that `tid` has created, at the event for that; `None` if `tid` was killed in the meantime.
pub fn created_by(tid: i32) -> Option<i32> {
    nix::sys::ptrace::getevent(Pid::from_raw(tid)).ok()?.try_into().ok()
}

/// The name of a thread.
pub fn name_of(tid: i32) -> String {
    let name = fs::read(format!("/proc/{tid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim().to_owned()
}

/// The bytes at `address`, as many as are readable.
pub fn memory_of(tid: i32, address: u64, bytes: usize) -> Vec<u8> {
    let mut memory = vec![0; bytes];
    let read = File::open(format!("/proc/{tid}/mem")).and_then(|file| file.read_at(&mut memory, address));
    memory.truncate(read.unwrap_or(0));
    memory
}

/// A line of `/proc/TID/status`.
fn line_of(tid: i32, name: &str) -> Option<String> {
    let status = fs::read(format!("/proc/{tid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Some(value?.trim().to_owned())
}

/// A number in `/proc/TID/status`.
pub fn status_of(tid: i32, name: &str) -> Option<i32> {
    line_of(tid, name)?.parse().ok()
}

/// Whether the thread's process has a handler for `signal`.
pub fn is_caught(tid: i32, signal: c_int) -> bool {
    let mask = line_of(tid, "SigCgt").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether the thread has a seccomp filter.
pub fn has_filter(tid: i32) -> bool {
    status_of(tid, "Seccomp").is_some_and(|mode| mode != 0)
}
