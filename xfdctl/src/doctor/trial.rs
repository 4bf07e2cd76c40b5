// SPDX-License-Identifier: GPL-2.0
//! Something that is tried in a child, because it can not be taken back, or may be its end.

use nix::sys::signal::Signal;
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult};
use std::arch::asm;
use xcomp::{Error, Feature};

/// What the kernel answers a child, or whoever stands in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may, or there is.
    Yes,
    /// There is none.
    No,
    /// An errno.
    Refused(Error),
    /// None: it was killed for the question.
    Killed(Signal),
}

/// Exit statuses of a child that are no errno.
const YES: i32 = 0;
const NO: i32 = 255;

/// Whether the kernel gives tiles to those who ask.
///
/// # Errors
///
/// No child can be made.
pub fn supported() -> nix::Result<Answer> {
    ask(|| xcomp::supported().map(|all| all.contains(Feature::TILE_DATA)))
}

/// What a child is told that asks for tiles; for its guests, or for itself.
///
/// # Errors
///
/// No child can be made.
pub fn request(for_guests: bool) -> nix::Result<Answer> {
    let request = if for_guests { xcomp::request_guest } else { xcomp::request };
    ask(|| request(Feature::TILE_DATA).map(|()| true))
}

/// How a child ends that asks for tiles and uses one: exit status 0 if it can.
///
/// # Errors
///
/// No child can be made.
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
    // SAFETY: this program has one thread; the child calls nothing but what it is given, which allocates nothing, and ends.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => waitpid(child, None),
        ForkResult::Child => {
            let status = does();
            // SAFETY: ends the child at once.
            unsafe { nix::libc::_exit(status) }
        }
    }
}

/// Eight tiles of 16 rows of 64 bytes are configured, one is zeroed, all are released.
fn use_a_tile() {
    #[repr(align(64))]
    struct Config([u8; 64]);
    let mut config = Config([0; 64]);
    config.0[0] = 1;
    for tile in 0..8 {
        config.0[16 + 2 * tile] = 64;
        config.0[48 + tile] = 16;
    }
    // SAFETY: CPUID has shown tiles, and XCR0 has them switched on; the registers are nobody else's. An exception
    // ends the child.
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
