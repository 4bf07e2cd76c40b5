// SPDX-License-Identifier: GPL-2.0
//! A thread's children: what they inherit, what they must not, and how they end.
#![expect(unsafe_code, reason = "the marker of shared memory is an unsafe trait")]

use super::shared::Shared;
use super::thread::{same, Thread};
use super::{failure, Place};
use crate::shared_memory::{self, Shareable};
use crate::sys::{self, End, Exec};
use crate::tile::{configured, content, Tile, Tiles, TILES};
use anyhow::{bail, ensure};
use std::io;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;
use xcomp::Feature;

/// Exit status of a child that detected no error.
const RIGHT: i32 = 42;
const WRONG: i32 = 1;

/// Whether a child whose parent is gone ended in a valid way.
#[must_use]
pub fn is_an_end(end: End) -> bool {
    matches!(
        end,
        End::Exit(RIGHT) | End::Signal(libc::SIGKILL | libc::SIGABRT | libc::SIGILL)
    )
}

/// Waits for the child `pid`, which must end as expected.
fn ends(pid: i32, expected: End) -> anyhow::Result<()> {
    let (_, end) = sys::wait(pid, 0)?;
    ensure!(
        end == expected,
        "child {pid}: {end:?}, must be {expected:?}"
    );
    Ok(())
}

/// Checks that a new process has its parent's tile configuration and initial tile data, and then
/// loads its own contents.
fn inherit_and_use(number: u64) -> anyhow::Result<Tiles> {
    if let Some(mut tiles) = Tiles::inherited() {
        same(&tiles.store_all(), &[Tile::ZERO; TILES])?;
    }
    let mut tiles = Tiles::configure();
    tiles.load_all(&content(number));
    crate::cpus::give_way();
    same(&tiles.store_all(), &content(number))?;
    Ok(tiles)
}

fn judge(shared: &Shared, place: Place, result: anyhow::Result<Tiles>) -> i32 {
    match result {
        Ok(tiles) => {
            shared.first_uses.fetch_add(1, Relaxed);
            std::mem::forget(tiles);
            RIGHT
        }
        Err(e) => {
            failure(shared, place, format_args!("in a child: {e:#}"));
            WRONG
        }
    }
}

/// Makes sure there is permission for the child to inherit.
fn prepare(thread: &mut Thread) -> anyhow::Result<(&'static Shared, Place, u64)> {
    thread.load()?;
    Ok((thread.siblings.shared, thread.place, thread.choice.number()))
}

/// fork: the child uses tiles and exits, or is killed by a signal, with live tiles.
///
/// # Errors
///
/// The child did not end as it should.
pub fn fork(thread: &mut Thread) -> anyhow::Result<()> {
    let (shared, place, number) = prepare(thread)?;
    let signal = [0, 0, libc::SIGKILL, libc::SIGABRT][thread.choice.below(4) as usize];
    let pid = sys::fork()?;
    if pid == 0 {
        let status = judge(shared, place, inherit_and_use(number));
        if status == RIGHT && signal != 0 {
            sys::signal_thread(sys::tid(), signal);
        }
        sys::exit_now(status);
    }
    ends(
        pid,
        if signal == 0 {
            End::Exit(RIGHT)
        } else {
            End::Signal(signal)
        },
    )
}

/// fork and exec, while the child's tiles are live.
///
/// # Errors
///
/// As for [`fork`].
pub fn exec(thread: &mut Thread) -> anyhow::Result<()> {
    become_this_program(thread, "use", End::Exit(RIGHT))
}

/// fork and exec; the new program has no permission, and uses tiles anyway.
///
/// # Errors
///
/// As for [`fork`].
pub fn denied(thread: &mut Thread) -> anyhow::Result<()> {
    become_this_program(thread, "denied", End::Signal(libc::SIGILL))?;
    thread.siblings.shared.denied.fetch_add(1, Relaxed);
    Ok(())
}

fn become_this_program(thread: &mut Thread, how: &str, end: End) -> anyhow::Result<()> {
    let (shared, place, number) = prepare(thread)?;
    let program = Exec::this_program(&["--child", how]);
    let pid = sys::fork()?;
    if pid == 0 {
        if judge(shared, place, inherit_and_use(number)) == RIGHT {
            let error = program.run();
            failure(shared, place, format_args!("exec: {error}"));
        }
        sys::exit_now(WRONG);
    }
    ends(pid, end)
}

/// What `--child HOW` does after exec: checks that none of the old program's state is left.
///
/// # Errors
///
/// Some state is left, or the tiles are wrong.
pub fn after_exec(how: &str) -> anyhow::Result<i32> {
    fresh_image()?;
    match how {
        "use" => {
            xcomp::request(Feature::TILE_DATA)?;
            std::mem::forget(inherit_and_use(7)?);
            Ok(RIGHT)
        }
        "denied" => {
            Tiles::configure().zero::<0>();
            bail!("TILEZERO succeeded without permission")
        }
        _ => bail!("no such child: {how}"),
    }
}

/// Checks that there is neither permission nor a tile configuration, as after every exec.
///
/// # Errors
///
/// There is permission or a configuration.
pub fn fresh_image() -> anyhow::Result<()> {
    ensure!(!configured(), "tiles are configured after exec");
    let permitted = xcomp::permitted()?;
    ensure!(
        !permitted.contains(Feature::TILE_DATA),
        "permitted after exec: {permitted:?}"
    );
    Ok(())
}

/// vfork: the child shares the parent's memory, but has its own tiles.
///
/// # Errors
///
/// As for [`fork`].
pub fn vfork(thread: &mut Thread) -> anyhow::Result<()> {
    let (shared, place, number) = prepare(thread)?;
    let pid = sys::vfork(|| judge(shared, place, inherit_and_use(number)))?;
    ends(pid, End::Exit(RIGHT))
}

/// How often the child in [`ptrace`] gets new tiles.
const EXCHANGES: u64 = 3;

/// What a child and its tracer both know. Each starts at 0, and once the child's tiles are right it is 1 plus the
/// number of times the tracer has written new tiles.
#[repr(C)]
struct Exchange {
    /// What the tracer wrote.
    written: AtomicU64,
    /// What the child found.
    found: AtomicU64,
}

// SAFETY: it consists of atomics, for which any value is valid.
unsafe impl Shareable for Exchange {}

/// A child checks its tiles repeatedly, while its tracer reads them and writes others.
///
/// # Errors
///
/// The tiles shown by ptrace are not the child's, or the child does not have what was written.
pub fn ptrace(thread: &mut Thread) -> anyhow::Result<()> {
    let (shared, place, number) = prepare(thread)?;
    let number = number >> 8;
    let exchange: &Exchange = shared_memory::anonymous()?;
    let pid = sys::fork()?;
    if pid == 0 {
        check_until_killed(shared, place, number, exchange);
    }
    let end = match exchange_tiles(pid, number, exchange) {
        Ok(Some(end)) => end,
        result => {
            sys::signal_process(pid, libc::SIGKILL);
            let (_, end) = sys::wait(pid, libc::__WALL)?;
            result?;
            end
        }
    };
    // At the end of the run the child exits on its own.
    let may_be = end == End::Exit(RIGHT) && shared.over();
    ensure!(
        may_be || end == End::Signal(libc::SIGKILL),
        "child {pid}: {end:?}"
    );
    Ok(())
}

/// The child: checks that its tiles are what it loaded, or what its tracer wrote last.
fn check_until_killed(shared: &Shared, place: Place, number: u64, exchange: &Exchange) -> ! {
    // If its parent exits first, the child is killed.
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64);
    let mut tiles = Tiles::configure();
    tiles.load_all(&content(number));
    exchange.written.store(1, SeqCst);
    while !shared.over() {
        let before = exchange.written.load(SeqCst);
        let now = tiles.store_all();
        // Eight instructions store the tiles, and the tracer may have intervened midway.
        if exchange.written.load(SeqCst) != before {
            continue;
        }
        if let Err(e) = same(&now, &content(number + before - 1)) {
            failure(shared, place, format_args!("in a traced child: {e:#}"));
            sys::exit_now(WRONG);
        }
        exchange.found.store(before, SeqCst);
        // Sleeps instead of yielding, since the run's other threads have more use for the CPU.
        std::thread::sleep(Duration::from_micros(100));
    }
    sys::exit_now(RIGHT)
}

/// The tracer: returns how the child ended, if it did before everything was exchanged. The child checks what is
/// written before being stopped again, or killed.
fn exchange_tiles(pid: i32, number: u64, exchange: &Exchange) -> anyhow::Result<Option<End>> {
    const TILEDATA: u64 = 1 << 18;
    let mut area = vec![0; 16 << 10];
    let offset = sys::xstate_offset(18);
    if let Err(refused) = sys::ptrace(libc::PTRACE_SEIZE, pid, 0) {
        // For a process that has already exited the kernel returns EPERM.
        let ended = sys::wait(pid, libc::__WALL | libc::WNOHANG);
        return ended.map(|(_, end)| Some(end)).map_err(|_| refused.into());
    }
    for exchanged in 0..EXCHANGES {
        if let Some(end) = until_found(pid, exchanged, exchange)? {
            return Ok(Some(end));
        }
        sys::ptrace(libc::PTRACE_INTERRUPT, pid, 0).or_else(gone)?;
        match sys::wait(pid, libc::__WALL)? {
            (_, End::Stopped(_)) => {}
            (_, end) => return Ok(Some(end)),
        }
        let size = sys::get_xstate(pid, &mut area)?;
        let xstate_bv = u64::from_le_bytes(std::array::from_fn(|i| area[512 + i]));
        ensure!(
            xstate_bv & TILEDATA != 0,
            "ptrace shows initial tiles: XSTATE_BV {xstate_bv:#x}"
        );
        let shown: [Tile; TILES] = std::array::from_fn(|tile| {
            Tile(std::array::from_fn(|i| {
                area[offset + tile * size_of::<Tile>() + i]
            }))
        });
        same(&shown, &content(number + exchanged))?;
        let new = content(number + exchanged + 1);
        for (place, byte) in area[offset..].iter_mut().zip(new.iter().flat_map(|t| t.0)) {
            *place = byte;
        }
        sys::set_xstate(pid, &area[..size])?;
        exchange.written.store(exchanged + 2, SeqCst);
        sys::ptrace(libc::PTRACE_CONT, pid, 0).or_else(gone)?;
    }
    until_found(pid, EXCHANGES, exchange)
}

/// Waits until the running child has found the tiles from write number `exchanged`; returns how it ended, if it did
/// so first.
fn until_found(pid: i32, exchanged: u64, exchange: &Exchange) -> anyhow::Result<Option<End>> {
    while exchange.found.load(SeqCst) != exchanged + 1 {
        match sys::wait(pid, libc::__WALL | libc::WNOHANG) {
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => {
                std::thread::sleep(Duration::from_micros(100));
            }
            Ok((_, End::Stopped(_))) => sys::ptrace(libc::PTRACE_CONT, pid, 0).or_else(gone)?,
            Ok((_, end)) => return Ok(Some(end)),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(None)
}

/// A killed tracee is not the tracer's error.
fn gone(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::ESRCH) {
        Ok(())
    } else {
        Err(error)
    }
}
