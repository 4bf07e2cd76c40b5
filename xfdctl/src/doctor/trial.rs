// SPDX-License-Identifier: GPL-2.0
//! Something that is tried in a child, because it can not be taken back, or may be its end.

use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult};
use std::arch::asm;
use xcomp::{Error, Feature};

/// The request went well.
const GRANTED: i32 = 0;

/// What a child is told that asks for tiles; for its guests, or for itself.
///
/// # Errors
///
/// No child can be made.
pub fn request(for_guests: bool) -> nix::Result<Result<(), Error>> {
    let status = in_child(|| {
        let asked =
            if for_guests { xcomp::request_guest(Feature::TILE_DATA) } else { xcomp::request(Feature::TILE_DATA) };
        asked.map_or_else(Error::errno, |()| GRANTED)
    })?;
    Ok(match status {
        WaitStatus::Exited(_, GRANTED) => Ok(()),
        WaitStatus::Exited(_, errno) => Err(error_of(errno)),
        _ => Err(Error::Other(0)),
    })
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
            0
        }
        Err(error) => error.errno(),
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
