// SPDX-License-Identifier: GPL-2.0
//! Uses tiles in a way that goes wrong, for whoever has to say why (`xfdctl doctor -- amx_dies HOW`).
#![allow(unsafe_code)]

use anyhow::{bail, ensure, Context};
use clap::{Parser, ValueEnum};
use std::arch::asm;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{io, thread};
use xcomp::Feature;
use xfd_selftests::altstack;
use xfd_selftests::tile::Tiles;

/// Dies, mostly.
#[derive(Parser)]
struct Arguments {
    /// Of what
    #[arg(value_enum)]
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Not at all: it asks, and uses a tile
    Not,
    /// It never asks
    NoPermission,
    /// Another thread than the first
    InAThread,
    /// It asks for its guests alone
    ForGuests,
    /// It asks, and executes itself
    Executed,
    /// Its alternate signal stack is too small for a frame with tiles
    SmallStack,
    /// A seccomp filter answers EPERM
    Filtered,
    /// As before, and it ends by itself
    FilteredAndEnds,
    /// As before, and it does without tiles
    FallsBack,
    /// A seccomp filter kills whoever asks
    KilledByFilter,
    /// It never asks, and a handler ends it
    Caught,
    /// No tiles are configured
    NotConfigured,
    /// There is no such palette
    NoPalette,
    /// Of something else
    NullPointer,
}

fn main() -> anyhow::Result<()> {
    let ask = || xcomp::request(Feature::TILE_DATA);
    let how = Arguments::parse().how;
    match how {
        How::Not => ask()?,
        How::NoPermission | How::InAThread | How::NullPointer => {}
        How::ForGuests => xcomp::request_guest(Feature::TILE_DATA)?,
        How::Executed => {
            ask()?;
            return Err(Command::new("/proc/self/exe")
                .arg("no-permission")
                .exec()
                .into());
        }
        How::SmallStack => {
            let refused = altstack::with(8192, ask)?;
            ensure!(refused.is_err(), "8192 bytes are enough here");
            return altstack::with(8192, use_a_tile);
        }
        How::Caught => {
            extern "C" fn end(_: libc::c_int) {
                // SAFETY: ends the process at once.
                unsafe { libc::_exit(7) }
            }
            // SAFETY: the handler does what a handler may.
            unsafe { libc::signal(libc::SIGILL, end as *const () as libc::sighandler_t) };
        }
        How::KilledByFilter => {
            filter_arch_prctl(libc::SECCOMP_RET_KILL_PROCESS)?;
            ask()?;
        }
        How::Filtered | How::FilteredAndEnds | How::FallsBack => {
            filter_arch_prctl(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32)?;
            ensure!(ask().is_err(), "the filter lets it through");
            match how {
                How::FilteredAndEnds => bail!("no tiles"),
                How::FallsBack => return Ok(()),
                _ => {}
            }
        }
        How::NotConfigured => {
            ask()?;
            // SAFETY: #UD.
            unsafe { asm!("tilezero tmm0", options(nostack, nomem)) };
        }
        How::NoPalette => {
            ask()?;
            #[repr(align(64))]
            struct Config([u8; 64]);
            let mut config = Config([0; 64]);
            config.0[0] = 2;
            // SAFETY: reads 64 bytes; #GP.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly))
            };
        }
    }
    match how {
        How::InAThread => {
            let user = thread::Builder::new()
                .name("worker".into())
                .spawn(use_a_tile)?;
            user.join().ok().context("the thread panicked")?;
        }
        // SAFETY: a page fault.
        How::NullPointer => unsafe { asm!("mov {0}, [0]", out(reg) _, options(nostack, readonly)) },
        _ => use_a_tile(),
    }
    Ok(())
}

fn use_a_tile() {
    Tiles::configure().zero::<0>();
}

/// That is what arch_prctl comes to from now on.
fn filter_arch_prctl(action: u32) -> io::Result<()> {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(IF_EQUAL, 0, 1, libc::SYS_arch_prctl as u32),
        step(RETURN, 0, 0, action),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: both only restrict this process; the filter is there until it was copied.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            ) == 0
    };
    done.then_some(()).ok_or_else(io::Error::last_os_error)
}
