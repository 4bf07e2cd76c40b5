// SPDX-License-Identifier: GPL-2.0
//! Trials in a child process, because they cannot be undone or may be fatal.

use nix::sys::signal::Signal;
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult};
use std::arch::asm;
use xcomp::{Error, Feature};

/// The answer to a child's question, from the kernel or from a seccomp filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Granted, or supported.
    Yes,
    /// Not supported.
    No,
    /// An errno.
    Refused(Error),
    /// The child was killed for asking.
    Killed(Signal),
}

/// The child's exit statuses. Any other is an errno.
const YES: i32 = 0;
const NO: i32 = 255;

/// Whether the kernel grants tiles to processes that ask.
///
/// # Errors
///
/// Fails if the child cannot be created.
pub fn supported() -> nix::Result<Answer> {
    ask(|| xcomp::supported().map(|all| all.contains(Feature::TILE_DATA)))
}

/// The answer to a child that asks for tiles, for itself or for its guests.
///
/// # Errors
///
/// Fails if the child cannot be created.
pub fn request(for_guests: bool) -> nix::Result<Answer> {
    let request = if for_guests { xcomp::request_guest } else { xcomp::request };
    ask(|| request(Feature::TILE_DATA).map(|()| true))
}

/// How a child ends that asks for tiles and uses one: with exit status 0 if that works.
///
/// # Errors
///
/// Fails if the child cannot be created.
pub fn first_use() -> nix::Result<WaitStatus> {
    in_child(|| match xcomp::request(Feature::TILE_DATA) {
        Ok(()) => {
            use_a_tile();
            YES
        }
        Err(error) => error.errno(),
    })
}

fn ask(question: impl FnOnce() -> Result<bool, Error>) -> nix::Result<Answer> {
    let status = in_child(|| match question() {
        Ok(true) => YES,
        Ok(false) => NO,
        Err(error) => error.errno(),
    })?;
    Ok(match status {
        WaitStatus::Signaled(_, signal, _) => Answer::Killed(signal),
        WaitStatus::Exited(_, YES) => Answer::Yes,
        WaitStatus::Exited(_, errno) if errno != NO => Answer::Refused(error_of(errno)),
        _ => Answer::No,
    })
}

fn error_of(errno: i32) -> Error {
    let known = [Error::NotKnown, Error::NotSupported, Error::AltStackTooSmall, Error::VcpuExists];
    known.into_iter().find(|error| error.errno() == errno).unwrap_or(Error::Other(errno))
}

fn in_child(does: impl FnOnce() -> i32) -> nix::Result<WaitStatus> {
    // SAFETY: this process has one thread. The child only calls `does`, which does not allocate, and ends.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => waitpid(child, None),
        ForkResult::Child => {
            let status = does();
            // SAFETY: the call ends the child immediately.
            unsafe { nix::libc::_exit(status) }
        }
    }
}

/// Configures eight tiles of 16 rows of 64 bytes, zeroes one, and releases all.
fn use_a_tile() {
    #[repr(align(64))]
    struct Config([u8; 64]);
    let mut config = Config([0; 64]);
    config.0[0] = 1;
    for tile in 0..8 {
        config.0[16 + 2 * tile] = 64;
        config.0[48 + tile] = 16;
    }
    // SAFETY: CPUID reports tiles, XCR0 has them enabled, and nobody else uses the tile registers. An exception ends
    // the child.
    unsafe {
        asm!(
            "ldtilecfg [{0}]",
            ".byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0", // tilezero tmm0
            "tilerelease",
            in(reg) &raw const config,
            options(nostack)
        );
    }
}
