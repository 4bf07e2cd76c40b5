// SPDX-License-Identifier: GPL-2.0
//! What happens to a task with live tiles.

use super::{live, Path, Prepared, Start, EXECUTED};
use crate::every::kind::{Kind, Kinds};
use crate::every::shared::Shared;
use crate::shared_memory;
use crate::sys::{self, End, Exec};
use crate::tile::{self, content, expect, Tile, Tiles, TILES};
use crate::{avx, child};
use anyhow::{bail, ensure};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::OnceLock;
use xcomp::Feature;

pub(super) const PATHS: &[Path] = &[
    Path::new(
        "signal",
        "a signal to a thread with live tiles, whose handler uses tiles, and back",
        Start::Arming,
        |_, _| Signal::prepare(),
    )
    .by(Kinds::USUAL),
    Path::new(
        "fork",
        "fork with live tiles: its copy of the FPU",
        Start::Function("fpu_clone"),
        |_, _| Fork::prepare(),
    )
    .by(Kinds::USUAL),
    Path::new(
        "exec",
        "exec with live tiles: its flush of the FPU",
        Start::Function("fpu_flush_thread"),
        |_, fd| Execute::prepare(fd),
    )
    .by(UNTRACED)
    .not_without_module("the kernel's own exec leaks, and may lose XFD: bugs.rst"),
    Path::new(
        "exit",
        "the end of a process with live tiles, as far as the module sees it",
        Start::Function("xfd_before_exit"),
        |_, _| Exit::prepare(),
    )
    .by(UNTRACED),
    Path::new(
        "get_regset",
        "PTRACE_GETREGSET of a thread with live tiles",
        Start::Arming,
        |shared, _| Regset::prepare(shared, false),
    )
    .by(TRACED),
    Path::new(
        "set_regset",
        "PTRACE_SETREGSET of one",
        Start::Arming,
        |shared, _| Regset::prepare(shared, true),
    )
    .by(TRACED),
];

struct Signal(Tiles);

static HANDLED: AtomicU64 = AtomicU64::new(0);

/// The tiles loaded by the handler.
static HANDLERS: OnceLock<Box<[Tile; TILES]>> = OnceLock::new();

extern "C" fn on_signal(_: c_int) {
    let was_initial = !tile::configured();
    let mut tiles = Tiles::configure();
    if let Some(content) = HANDLERS.get() {
        tiles.load_all(content);
        if tiles.store_all() != **content {
            HANDLED.fetch_add(10_000, SeqCst);
        }
    }
    HANDLED.fetch_add(if was_initial { 1 } else { 100 }, SeqCst);
}

impl Signal {
    /// Handles the signal once beforehand, so that there are no page faults on the path.
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        HANDLERS.get_or_init(|| Box::new(content(5)));
        sys::on_signal(libc::SIGUSR1, on_signal)?;
        let mut signal = Signal(live(4)?);
        signal.take();
        Ok(Box::new(signal))
    }
}

impl Prepared for Signal {
    fn take(&mut self) {
        sys::signal_thread(sys::tid(), libc::SIGUSR1);
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        ensure!(
            HANDLED.load(SeqCst) == 2,
            "in the handler: {}",
            HANDLED.load(SeqCst)
        );
        expect(&self.0.store_all(), 4)
    }
    fn again(&mut self) -> anyhow::Result<bool> {
        HANDLED.store(1, SeqCst);
        Ok(true)
    }
}

struct Fork(Tiles, i32);

impl Fork {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Fork(live(9)?, -1)))
    }
}

impl Prepared for Fork {
    fn take(&mut self) {
        self.1 = sys::fork().unwrap_or(-1);
        if self.1 == 0 {
            let mut tiles = Tiles::configure();
            tiles.load_all(&content(14));
            sys::exit_now(expect(&tiles.store_all(), 14).is_err().into());
        }
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        ensure!(self.1 > 0, "fork failed");
        let (_, end) = sys::wait(self.1, 0)?;
        ensure!(end == End::Exit(0), "the child ended with {end:?}");
        expect(&self.0.store_all(), 9)
    }
    fn again(&mut self) -> anyhow::Result<bool> {
        Ok(true)
    }
}

struct Execute {
    _tiles: Tiles,
    exec: Exec,
}

impl Execute {
    fn prepare(fd: i32) -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Execute {
            _tiles: live(10)?,
            exec: Exec::this_program(&[EXECUTED, &fd.to_string()]),
        }))
    }
}

impl Prepared for Execute {
    fn take(&mut self) {
        avx::round_to_zero();
        sys::print_now(&format!("# exec: {}\n", self.exec.run()));
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        bail!("exec returned")
    }
}

/// The rest of the path, in the executed program.
///
/// # Errors
///
/// The new program has some of the old one's state.
pub fn go_on_executed(fd: i32) -> anyhow::Result<()> {
    let shared: &Shared = shared_memory::attach(fd)?;
    shared.is_over();
    ensure!(!tile::configured(), "it has tiles");
    let mxcsr = avx::mxcsr();
    ensure!(mxcsr == avx::INITIAL_MXCSR, "MXCSR is {mxcsr:#x}");
    let has = xcomp::permitted()?;
    ensure!(!has.contains(Feature::TILE_DATA), "it has permission");
    Ok(())
}

struct Exit(Option<Tiles>);

impl Exit {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Exit(Some(live(11)?))))
    }
}

impl Prepared for Exit {
    fn take(&mut self) {
        std::mem::forget(self.0.take());
        sys::exit_now(0);
    }
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        bail!("exit returned")
    }
}

/// What applies to a process that does not stop for a tracer: it exits, or holds the mutex needed to attach.
const UNTRACED: Kinds = Kinds::USUAL.with(Kind::Unload).without(Kind::Trace);

/// What applies to a stopped and traced process and its tracer.
const TRACED: Kinds = Kinds::of(&[
    Kind::Preempt,
    Kind::Migrate,
    Kind::Kill,
    Kind::Shrink,
    Kind::Wait,
]);

/// The tracer's side: another process with live tiles is stopped.
struct Regset {
    shared: &'static Shared,
    tracee: i32,
    area: Vec<u8>,
    writes: bool,
    done: bool,
    killed: bool,
}

/// The contents the tracer writes.
const WRITTEN: u64 = 13;
/// The contents it wrote before.
const BEFORE: u64 = 16;
/// More bytes than an XSAVE area has.
const AREA: usize = 16 << 10;

fn put_tiles(area: &mut [u8], number: u64) {
    let tiles = content(number);
    area[sys::xstate_range(18)].copy_from_slice(tiles.each_ref().map(|tile| tile.0).as_flattened());
}

impl Regset {
    fn prepare(shared: &'static Shared, writes: bool) -> anyhow::Result<Box<dyn Prepared>> {
        let tracee = child::begin(|| {
            sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)?;
            let mut tiles = live(12)?;
            sys::ptrace(libc::PTRACE_TRACEME, 0, 0)?;
            sys::signal_process(sys::pid(), libc::SIGSTOP);
            expect(&tiles.store_all(), if writes { WRITTEN } else { 12 })
        })?;
        let (_, end) = sys::wait(tracee, 0)?;
        ensure!(matches!(end, End::Stopped(_)), "{end:?}");
        let mut area = vec![0; AREA];
        shared.set_victim(tracee);
        // Reads once beforehand, so that there are no page faults on the path.
        let size = sys::get_xstate(tracee, &mut area)?;
        area.truncate(size);
        let mut regset = Regset {
            shared,
            tracee,
            area,
            writes,
            done: false,
            killed: false,
        };
        regset.aim()?;
        Ok(Box::new(regset))
    }

    /// Makes sure that what will be read or written is not there yet.
    fn aim(&mut self) -> anyhow::Result<()> {
        self.done = false;
        if self.writes {
            put_tiles(&mut self.area, BEFORE);
            sys::set_xstate(self.tracee, &self.area)?;
            put_tiles(&mut self.area, WRITTEN);
        } else {
            self.area[sys::xstate_range(18)].fill(0);
        }
        Ok(())
    }
}

impl Prepared for Regset {
    fn take(&mut self) {
        self.done = match self.writes {
            true => sys::set_xstate(self.tracee, &self.area).is_ok(),
            false => sys::get_xstate(self.tracee, &mut self.area).is_ok(),
        };
    }
    fn check(&mut self, disturbed: bool) -> anyhow::Result<()> {
        self.killed = self.shared.kills() && disturbed;
        ensure!(self.done || self.killed, "ptrace failed");
        if self.writes && !self.killed {
            sys::get_xstate(self.tracee, &mut self.area)?;
        }
        let tiles = &self.area[sys::xstate_range(18)];
        let wanted = content(if self.writes { WRITTEN } else { 12 });
        ensure!(
            !self.done || tiles == wanted.each_ref().map(|tile| tile.0).as_flattened(),
            "wrong tiles were read"
        );
        Ok(())
    }
    fn again(&mut self) -> anyhow::Result<bool> {
        if self.killed {
            return Ok(false);
        }
        self.aim()?;
        Ok(true)
    }
    /// Makes the tracee check its tiles.
    fn end(&mut self) -> anyhow::Result<()> {
        if !self.killed {
            if self.writes {
                put_tiles(&mut self.area, WRITTEN);
                sys::set_xstate(self.tracee, &self.area)?;
            }
            sys::ptrace(libc::PTRACE_CONT, self.tracee, 0)?;
        }
        let (_, end) = sys::wait(self.tracee, 0)?;
        let killed = self.killed && end == End::Signal(libc::SIGKILL);
        ensure!(
            end == End::Exit(0) || killed,
            "the traced process ended with {end:?}"
        );
        Ok(())
    }
}
