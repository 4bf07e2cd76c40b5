// SPDX-License-Identifier: GPL-2.0
//! A signal frame that its handler changes before returning.
#![expect(unsafe_code, reason = "a signal handler that edits its frame")]

use super::case::Edit;
use super::run::{name, Report};
use super::state::{self, Area, HEADER, TILES};
use crate::sys;
use std::ffi::{c_int, c_void};
use std::io::Result;
use std::sync::OnceLock;
use std::{mem, ptr};

/// What the handler of [`frame`] does.
static EDITS: OnceLock<Vec<Edit>> = OnceLock::new();

extern "C" fn change_frame(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel's frame, whose area has the size that it states.
    unsafe {
        let area = (*context).uc_mcontext.fpregs.cast::<u8>();
        let bytes = area.add(468).cast::<u32>().read_unaligned() as usize;
        clear_unwritten(area, bytes);
        for edit in EDITS.get().into_iter().flatten() {
            match *edit {
                Edit::Bytes(offset, count, value) if offset as usize + count as usize <= bytes => {
                    let value = value.to_le_bytes();
                    ptr::copy_nonoverlapping(
                        value.as_ptr(),
                        area.add(offset as usize),
                        count as usize,
                    );
                }
                Edit::Bytes(..) => {}
                Edit::Area(pointer) => {
                    (*context).uc_mcontext.fpregs = ptr::without_provenance_mut(pointer as usize);
                }
            }
        }
    }
}

/// Clears tiles that are not in use. The kernel does not write them (7.2:
/// arch/x86/kernel/fpu/xstate.h:310), so they contain whatever was on the stack, such as addresses,
/// which differs on each boot.
///
/// # Safety
///
/// `area` must be a frame's area, with this many `bytes`.
unsafe fn clear_unwritten(area: *mut u8, bytes: usize) {
    // SAFETY: the header is part of every area, and a component is cleared only if all of it is within the area.
    unsafe {
        let in_use = area.add(HEADER).cast::<u64>().read_unaligned();
        for range in state::components(TILES & !in_use).filter(|range| range.end <= bytes) {
            ptr::write_bytes(area.add(range.start), 0, range.len());
        }
    }
}

/// Sends a signal, with the registers as in `before`; the handler makes `edits`.
pub(super) fn frame(before: &Area, edits: &[Edit], report: &mut Report) -> Result<()> {
    let _ = EDITS.set(edits.to_vec());
    // SAFETY: all zeros is a valid sigaction.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = change_frame as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` is complete, and its handler has the signature that its flags announce.
    unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
    let mut after = Area::zero();
    let arguments = [sys::pid() as u64, sys::tid() as u64, libc::SIGUSR1 as u64];
    // SAFETY: the call only sends a signal to this thread.
    let result = unsafe { state::around(before, &mut after, libc::SYS_tgkill, arguments) };
    report.say(format_args!("{} {after}", name(result)));
    Ok(())
}
