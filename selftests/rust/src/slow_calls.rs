// SPDX-License-Identifier: GPL-2.0
//! System calls that sleep on the caller's memory: a permission query, and the return from a signal handler.
#![expect(unsafe_code, reason = "system calls on memory that arrives late")]

use crate::slow_memory::PAGE;
use crate::{sys, worker};
use anyhow::{bail, ensure};
use std::cell::Cell;
use std::io::Error;
use std::ptr;

/// The number of pages that one call may sleep on: a signal frame with tiles has three.
pub const PAGES: usize = 4;

/// Keeps a call's frame until the memory for it arrives.
pub struct Frame(Box<[[u8; PAGE]; PAGES]>);

impl Frame {
    /// An empty frame.
    #[must_use]
    pub fn new() -> Self {
        Frame(Box::new([[0; PAGE]; PAGES]))
    }

    /// The address of its contents, which change with each [`sigreturn`] call.
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

/// A page of the frame at `address`.
///
/// # Safety
///
/// `address` must be that of a [`Frame`] whose thread waits for that page, or has not called [`sigreturn`] yet.
#[must_use]
pub unsafe fn page_of(address: usize, page: usize) -> [u8; PAGE] {
    // SAFETY: the caller guarantees that the frame exists and that its thread does not write to it now.
    unsafe { ptr::read((address as *const [u8; PAGE]).add(page)) }
}

const GET_SUPPORTED: i32 = 0x1021;
const GET_PERMITTED: i32 = 0x1022;
const GET_GUEST_PERMITTED: i32 = 0x1024;

/// Asks for the `number`th of the three sets of components; the answer is written to `to`.
///
/// # Safety
///
/// `to` must be eight bytes that only the caller uses; they may arrive late.
///
/// # Errors
///
/// The call failed, or the answer lacks the components every process has.
pub unsafe fn query(number: usize, to: usize) -> anyhow::Result<()> {
    let option = [GET_PERMITTED, GET_SUPPORTED, GET_GUEST_PERMITTED][number % 3];
    // SAFETY: the kernel writes eight bytes to `to`, which the caller vouches for.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, option, to) };
    ensure!(result == 0, "arch_prctl: {}", Error::last_os_error());
    // SAFETY: the call has succeeded, so the eight bytes are present.
    let answer = unsafe { ptr::read(to as *const u64) };
    ensure!(answer & 3 == 3, "the answer is {answer:#x}");
    Ok(())
}

thread_local! {
    /// Where the handler keeps the frame's registers, and where it makes the frame say they are.
    static PLACES: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Handles a signal with live tiles, and returns from it with the frame's registers at `to`. `frame` keeps the
/// contents that must arrive there.
///
/// # Safety
///
/// `to` must be [`PAGES`] pages that only the caller uses, which may arrive late; `frame` must come
/// from [`Frame::address`].
///
/// # Errors
///
/// The tiles are different afterwards.
pub unsafe fn sigreturn(number: u64, frame: usize, to: usize) -> anyhow::Result<()> {
    PLACES.set((frame, to));
    worker::checked_tiles(number, || {
        if !sys::signal_thread(sys::tid(), libc::SIGUSR1) {
            bail!("cannot signal itself");
        }
        Ok(())
    })
}

/// Installs the SIGUSR1 handler that [`sigreturn`] needs.
///
/// # Errors
///
/// Errors from sigaction(); none is expected.
pub fn handle_signals() -> anyhow::Result<()> {
    // SAFETY: all zeros is a valid sigaction, and the handler has three arguments, as SA_SIGINFO requires.
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
    // SAFETY: the kernel's frame, with the size that it states, and the thread's own memory for a copy.
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
