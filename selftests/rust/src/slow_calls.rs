// SPDX-License-Identifier: GPL-2.0
//! System calls that sleep on memory of the caller's: a query of permissions, and the end of a signal handler.
#![allow(unsafe_code)]

use crate::slow_memory::PAGE;
use crate::{sys, worker};
use anyhow::{bail, ensure};
use std::cell::Cell;
use std::io::Error;
use std::ptr;

/// Pages that one call may sleep on: a signal frame with tiles has three.
pub const PAGES: usize = 4;

/// Where a call's frame is kept until its memory comes.
pub struct Frame(Box<[[u8; PAGE]; PAGES]>);

impl Frame {
    /// Room for one.
    #[must_use]
    pub fn new() -> Self {
        Frame(Box::new([[0; PAGE]; PAGES]))
    }

    /// Where its content is; it changes with each call of [`sigreturn`].
    #[must_use]
    pub fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

/// A page of a frame at `address`.
///
/// # Safety
///
/// There is a [`Frame`], and its thread waits for that page, or has not called [`sigreturn`] yet.
#[must_use]
pub unsafe fn page_of(address: usize, page: usize) -> [u8; PAGE] {
    // SAFETY: as the caller says.
    unsafe { ptr::read((address as *const [u8; PAGE]).add(page)) }
}

const GET_SUPPORTED: i32 = 0x1021;
const GET_PERMITTED: i32 = 0x1022;
const GET_GUEST_PERMITTED: i32 = 0x1024;

/// Asks for the `number`th of the three sets of components, with the answer to be written to `to`.
///
/// # Safety
///
/// `to` is eight bytes of the caller's own, which may come late.
///
/// # Errors
///
/// The call failed, or the answer lacks the components that everybody has.
pub unsafe fn query(number: usize, to: usize) -> anyhow::Result<()> {
    let option = [GET_PERMITTED, GET_SUPPORTED, GET_GUEST_PERMITTED][number % 3];
    // SAFETY: the kernel writes eight bytes to `to`.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, option, to) };
    ensure!(result == 0, "arch_prctl: {}", Error::last_os_error());
    // SAFETY: they are there now.
    let answer = unsafe { ptr::read(to as *const u64) };
    ensure!(answer & 3 == 3, "the answer is {answer:#x}");
    Ok(())
}

thread_local! {
    /// Where the handler puts the frame's registers, and where it says they are.
    static PLACES: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Handles a signal over live tiles, and returns from it with the registers of the frame at `to`. What is to
/// come there is kept in `frame`.
///
/// # Safety
///
/// `to` is [`PAGES`] pages of the caller's own, which may come late; `frame` is of [`Frame::address`].
///
/// # Errors
///
/// The tiles are others afterwards.
pub unsafe fn sigreturn(number: u64, frame: usize, to: usize) -> anyhow::Result<()> {
    PLACES.set((frame, to));
    worker::checked_tiles(number, || {
        if !sys::signal_thread(sys::tid(), libc::SIGUSR1) {
            bail!("no signal to itself");
        }
        Ok(())
    })
}

/// Has SIGUSR1 handled as [`sigreturn`] needs it.
///
/// # Errors
///
/// None that is known.
pub fn handle_signals() -> anyhow::Result<()> {
    // SAFETY: all zeros is a valid sigaction, and the handler is one with three arguments.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = move_registers as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut())
    };
    ensure!(set == 0, "sigaction: {}", Error::last_os_error());
    Ok(())
}

/// Where a frame says how long its registers are (arch/x86/include/uapi/asm/sigcontext.h, `_fpx_sw_bytes`).
const EXTENDED_SIZE: usize = 464 + 4;

extern "C" fn move_registers(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let (kept, to) = PLACES.get();
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel's frame, as long as it says, and the thread's own room for one.
    unsafe {
        let registers = (*context).uc_mcontext.fpregs.cast::<u8>();
        let size = ptr::read_unaligned(registers.add(EXTENDED_SIZE).cast::<u32>()) as usize;
        if size > PAGES * PAGE {
            libc::abort();
        }
        ptr::copy_nonoverlapping(registers, kept as *mut u8, size);
        (*context).uc_mcontext.fpregs = to as *mut _;
    }
}
