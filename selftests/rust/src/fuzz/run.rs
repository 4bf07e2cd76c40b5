// SPDX-License-Identifier: GPL-2.0
//! Runs one case in a separate process, and gives the kernel's answers on one line.
#![expect(unsafe_code, reason = "system calls with arbitrary arguments")]

use super::case::{Call, Case, Edit, Pointer, Size, Start};
use super::frame::frame;
use super::state::{self, Area};
use crate::sys::{self, End};
use crate::tile::Tiles;
use std::ffi::{c_int, c_void};
use std::fmt::{self, Write};
use std::io::{Error, Result};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use xcomp::Feature;

/// Starts an answer that must not occur.
pub const WRONG: &str = "!";

/// What a case's processes share.
pub(super) struct Report {
    area: Area,
    text: [u8; 2048],
    length: AtomicU32,
}

/// Runs cases, one after another.
pub struct Runner(*mut Report);

impl Runner {
    /// Creates one, for a single-threaded program, which becomes the parent of any processes a case leaves.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn new() -> Result<Self> {
        sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1)?;
        Ok(Runner(map(size_of::<Report>(), libc::MAP_SHARED)?.cast()))
    }

    /// The kernel's answers, on one line.
    ///
    /// # Errors
    ///
    /// The process cannot be started.
    pub fn answer(&mut self, case: &Case) -> Result<String> {
        // SAFETY: no process of an earlier case is left, and zero bytes are a valid report.
        let report = unsafe {
            ptr::write_bytes(self.0, 0, 1);
            &mut *self.0
        };
        let pid = sys::fork()?;
        if pid == 0 {
            limit_time();
            if let Err(e) = perform(case, report) {
                report.say(format_args!("{WRONG} {e}"));
            }
            sys::exit_now(0);
        }
        let (_, end) = sys::wait(pid, 0)?;
        let length = report.length.load(Relaxed) as usize;
        let mut text = String::from_utf8_lossy(&report.text[..length])
            .trim()
            .to_owned();
        let _ = match end {
            End::Exit(0) => Ok(()),
            End::Signal(libc::SIGALRM) => write!(text, " {WRONG} hangs"),
            other => write!(text, " {other:?}"),
        };
        // Reaps tracees, and children that were reparented to us.
        while sys::wait(-1, libc::__WALL).is_ok() {}
        Ok(text.trim().to_owned())
    }
}

impl Report {
    pub(super) fn say(&mut self, what: fmt::Arguments<'_>) {
        let text = format!(" {what}");
        let length = self.length.load(Relaxed) as usize;
        let end = (length + text.len()).min(self.text.len());
        self.text[length..end].copy_from_slice(&text.as_bytes()[..end - length]);
        self.length.store(end as u32, Relaxed);
    }
}

fn map(bytes: usize, how: c_int) -> Result<*mut c_void> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            access,
            how | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    Ok(memory)
}

/// Kills this process with SIGALRM in two seconds, unless it exits first.
fn limit_time() {
    // SAFETY: the call accesses no memory.
    unsafe { libc::alarm(2) };
}

/// The negative errno by name.
pub(super) fn name(result: i64) -> String {
    match -result as i32 {
        libc::EPERM => "EPERM".into(),
        libc::EFAULT => "EFAULT".into(),
        libc::EBUSY => "EBUSY".into(),
        libc::EINVAL => "EINVAL".into(),
        libc::ENOMEM => "ENOMEM".into(),
        libc::ENOSPC => "ENOSPC".into(),
        libc::EIO => "EIO".into(),
        libc::ESRCH => "ESRCH".into(),
        libc::EOPNOTSUPP => "EOPNOTSUPP".into(),
        _ => result.to_string(),
    }
}

fn os(error: &Error) -> String {
    name(-i64::from(error.raw_os_error().unwrap_or(0)))
}

fn perform(case: &Case, report: &mut Report) -> Result<()> {
    match case {
        Case::Calls(calls) => calls
            .iter()
            .try_for_each(|call| perform_call(*call, report)),
        Case::Frame(start, edits) => frame(&begin(*start), edits, report),
        Case::Regset(start, size, edits) => regset(&begin(*start), *size, edits, report),
        Case::Clone(start, flags) => clone(&begin(*start), *flags, report),
    }
}

/// Does what precedes the case, and returns the registers to start with.
fn begin(start: Start) -> Box<Area> {
    if start != Start::None {
        let _ = xcomp::request(Feature::TILE_DATA);
    }
    if start == Start::Released {
        Tiles::configure().zero::<0>();
    }
    Area::prepared(start == Start::Live)
}

fn perform_call(call: Call, report: &mut Report) -> Result<()> {
    match call {
        Call::Get(option, to) => {
            let page = map(8192, libc::MAP_PRIVATE)?;
            // SAFETY: unmaps the second of the two pages above, which nothing uses.
            unsafe { libc::munmap(page.byte_add(4096), 4096) };
            if to == Pointer::ReadOnly {
                // SAFETY: nothing in this process writes to the page.
                unsafe { libc::mprotect(page, 4096, libc::PROT_READ) };
            }
            let address = match to {
                Pointer::Good | Pointer::ReadOnly => page as u64,
                Pointer::Odd => page as u64 + 1,
                Pointer::End => page as u64 + 4092,
                Pointer::Null => 0,
                Pointer::Kernel => 0xffff_8880_0000_0000,
                Pointer::NonCanonical => 1 << 63,
            };
            let result = arch_prctl(option, address);
            if result == 0 {
                // SAFETY: the kernel has just written to that address.
                let mask = unsafe { (address as *const u64).read_unaligned() };
                report.say(format_args!("{mask:#x}"));
            } else {
                report.say(format_args!("{}", name(result)));
            }
        }
        Call::Prctl(option, argument) => {
            let answer = name(arch_prctl(option, argument));
            // These errors take precedence over all others (7.2: xstate.c:1729-1739).
            let must = match (option, argument) {
                (0x1023 | 0x1025, 18) => None,
                (0x1023 | 0x1025, 0..=19) => Some("EOPNOTSUPP"),
                _ => Some("EINVAL"),
            };
            match must {
                Some(must) if must != answer => {
                    report.say(format_args!("{WRONG} {answer} for {must}"))
                }
                _ => report.say(format_args!("{answer}")),
            }
        }
        Call::Altstack(bytes) => {
            let stack = libc::stack_t {
                ss_sp: map(64 << 10, libc::MAP_PRIVATE)?,
                ss_flags: 0,
                ss_size: bytes as usize,
            };
            // SAFETY: no signal is handled on that stack.
            let result = unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
            let answer = if result == 0 {
                "0".into()
            } else {
                os(&Error::last_os_error())
            };
            report.say(format_args!("{answer}"));
        }
        Call::Use => {
            Tiles::configure().zero::<0>();
            report.say(format_args!("used"));
        }
    }
    Ok(())
}

fn arch_prctl(option: u32, argument: u64) -> i64 {
    // SAFETY: of all options that a case can have, three write eight bytes, to memory that nothing
    // else uses.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, option as c_int, argument) };
    if result == 0 {
        0
    } else {
        -i64::from(Error::last_os_error().raw_os_error().unwrap_or(0))
    }
}

fn regset(before: &Area, size: Size, edits: &[Edit], report: &mut Report) -> Result<()> {
    let pid = sys::fork()?;
    if pid == 0 {
        let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64);
        sys::ptrace(libc::PTRACE_TRACEME, 0, 0)?;
        let arguments = [sys::pid() as u64, libc::SIGSTOP as u64, 0];
        // SAFETY: the call only stops this process.
        unsafe { state::around(before, &mut report.area, libc::SYS_kill, arguments) };
        sys::exit_now(0);
    }
    let stopped = sys::wait(pid, libc::__WALL)?.1;
    if !matches!(stopped, End::Stopped(_)) {
        report.say(format_args!("{WRONG} {stopped:?}"));
        return Ok(());
    }
    let mut area = Area::zero();
    let read = sys::get_xstate(pid, area.bytes())?;
    report.say(format_args!("read {read}"));
    for edit in edits {
        if let Edit::Bytes(offset, count, value) = *edit {
            let (offset, count) = (offset as usize, count as usize);
            if offset + count <= read {
                area.bytes()[offset..offset + count].copy_from_slice(&value.to_le_bytes()[..count]);
            }
        }
    }
    let written = match size {
        Size::Read(more) => read.saturating_add_signed(more as isize),
        Size::Bytes(bytes) => bytes as usize,
    };
    let written = written.min(area.bytes().len());
    match sys::set_xstate(pid, &area.bytes()[..written]) {
        Ok(()) => report.say(format_args!("written")),
        Err(e) => report.say(format_args!("{}", os(&e))),
    }
    let mut area = Area::zero();
    sys::get_xstate(pid, area.bytes())?;
    report.say(format_args!("shown {area}"));
    sys::ptrace(libc::PTRACE_CONT, pid, 0)?;
    match sys::wait(pid, libc::__WALL)?.1 {
        End::Exit(0) => {
            let text = report.area.to_string();
            report.say(format_args!("has {text}"));
        }
        end => report.say(format_args!("{end:?}")),
    }
    Ok(())
}

fn clone(before: &Area, flags: u64, report: &mut Report) -> Result<()> {
    let mut after = Area::zero();
    // SAFETY: the report outlives this process, and no flag that a case can have takes a pointer.
    let pid = unsafe { state::around_clone(before, &mut after, &mut report.area, flags) };
    if pid < 0 {
        report.say(format_args!("{} {after}", name(pid)));
        return Ok(());
    }
    while !state::is_done(&report.area) {
        crate::cpus::give_way();
    }
    let child = format!("permitted {:#x} {}", report.area.permitted, report.area);
    report.say(format_args!("child {child} parent {after}"));
    Ok(())
}
