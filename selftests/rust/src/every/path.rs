// SPDX-License-Identifier: GPL-2.0
//! The paths.
#![allow(unsafe_code)]

use super::trial::Shared;
use crate::counters::module_is_loaded;
use crate::idle::{self, Passes};
use crate::shared_memory;
use crate::sys::{self, End, Exec};
use crate::tile::{self, content, expect, Tile, Tiles, TILES};
use crate::{avx, child};
use anyhow::{bail, ensure, Context};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;
use xcomp::{Error, Feature};

/// A way through the kernel.
pub struct Path {
    /// What it is called.
    pub name: &'static str,
    /// What it is in words.
    pub about: &'static str,
    /// Where its first instruction is.
    pub start: Start,
    /// Prepares it, in the process that is to take it.
    pub prepare: Prepare,
}

/// Where a path begins.
#[derive(Clone, Copy)]
pub enum Start {
    /// With [`Prepared::take`]. It ends when that has returned.
    Arming,
    /// With the next #NM. The same end.
    NextNm,
    /// With this function of the program's. The same end.
    Mark(extern "C" fn()),
    /// With this function of the kernel's. It ends when that returns.
    Function(&'static str),
}

/// What both sides share, and the file descriptor behind it.
pub type Prepare = fn(&'static Shared, i32) -> anyhow::Result<Box<dyn Prepared>>;

/// A path that can be taken once.
pub trait Prepared {
    /// Takes it. What does not return calls [`Shared::is_over`] itself.
    fn take(&mut self);
    /// Whether it led where it should.
    ///
    /// # Errors
    ///
    /// It did not.
    fn check(&mut self) -> anyhow::Result<()>;
}

/// All of them.
pub const ALL: &[Path] = &[
    Path {
        name: "first_use",
        about: "the #NM of a process with permission",
        start: Start::NextNm,
        prepare: |_, _| FirstUse::prepare(),
    },
    Path {
        name: "denied",
        about: "the #NM of one without, to its handler of SIGILL and back",
        start: Start::NextNm,
        prepare: |_, _| Denied::prepare(),
    },
    Path {
        name: "get_supp",
        about: "ARCH_GET_XCOMP_SUPP",
        start: Start::Function("__x64_sys_arch_prctl"),
        prepare: |_, _| Ask::prepare(|| xcomp::supported().map(drop)),
    },
    Path {
        name: "get_perm",
        about: "ARCH_GET_XCOMP_PERM",
        start: Start::Function("__x64_sys_arch_prctl"),
        prepare: |_, _| Ask::prepare(|| xcomp::permitted().map(drop)),
    },
    Path {
        name: "req_perm",
        about: "ARCH_REQ_XCOMP_PERM",
        start: Start::Function("__x64_sys_arch_prctl"),
        prepare: |_, _| Request::prepare(xcomp::request, xcomp::permitted),
    },
    Path {
        name: "get_guest_perm",
        about: "ARCH_GET_XCOMP_GUEST_PERM",
        start: Start::Function("__x64_sys_arch_prctl"),
        prepare: |_, _| Ask::prepare(|| xcomp::guest_permitted().map(drop)),
    },
    Path {
        name: "req_guest_perm",
        about: "ARCH_REQ_XCOMP_GUEST_PERM",
        start: Start::Function("__x64_sys_arch_prctl"),
        prepare: |_, _| Request::prepare(xcomp::request_guest, xcomp::guest_permitted),
    },
    Path {
        name: "signal",
        about: "a signal to a thread with live tiles, whose handler uses tiles, and back",
        start: Start::Arming,
        prepare: |_, _| Signal::prepare(),
    },
    Path {
        name: "sigreturn_after_reclaim",
        about: "back from a handler in which the buffer was taken",
        start: Start::Mark(leaves_handler),
        prepare: |_, _| SigreturnAfterReclaim::prepare(),
    },
    Path {
        name: "regrow",
        about: "a thread whose buffer was taken gets one before it returns from a system call",
        start: Start::Function("xfd_regrow_current"),
        prepare: |_, _| Regrow::prepare(),
    },
    Path {
        name: "fork",
        about: "fork with live tiles: its copy of the FPU",
        start: Start::Function("fpu_clone"),
        prepare: |_, _| Fork::prepare(),
    },
    Path {
        name: "exec",
        about: "exec with live tiles: its flush of the FPU",
        start: Start::Function("fpu_flush_thread"),
        prepare: |_, fd| Execute::prepare(fd),
    },
    Path {
        name: "exit",
        about: "the end of a process with live tiles, as far as the module sees it",
        start: Start::Function("xfd_before_exit"),
        prepare: |_, _| Exit::prepare(),
    },
    Path {
        name: "get_regset",
        about: "PTRACE_GETREGSET of a thread with live tiles",
        start: Start::Arming,
        prepare: |_, _| Regset::prepare(false),
    },
    Path {
        name: "set_regset",
        about: "PTRACE_SETREGSET of one",
        start: Start::Arming,
        prepare: |_, _| Regset::prepare(true),
    },
];

/// The argument of a program that was executed on a path; the next one is the file descriptor.
pub const EXECUTED: &str = "executed";

/// With permission, and live tiles.
pub(super) fn live(number: u64) -> anyhow::Result<Tiles> {
    xcomp::request(Feature::TILE_DATA)?;
    let mut tiles = Tiles::configure();
    tiles.load_all(&content(number));
    Ok(tiles)
}

struct FirstUse(Tiles);

impl FirstUse {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        xcomp::request(Feature::TILE_DATA)?;
        Ok(Box::new(FirstUse(Tiles::configure())))
    }
}

impl Prepared for FirstUse {
    fn take(&mut self) {
        self.0.zero::<0>();
    }
    fn check(&mut self) -> anyhow::Result<()> {
        ensure!(tile::configured(), "the tiles are not configured any more");
        let initial = self.0.store_all().iter().all(|tile| *tile == Tile::ZERO);
        ensure!(initial, "the tiles have content");
        self.0.load_all(&content(2));
        expect(&self.0.store_all(), 2)
    }
}

struct Denied(Tiles);

/// What SIGILL said: trap number in the upper half, error code below.
static TRAP: AtomicU64 = AtomicU64::new(0);
/// TILEZERO TMM0.
const TILEZERO: [u8; 5] = [0xc4, 0xe2, 0x7b, 0x49, 0xc0];

extern "C" fn on_denied(_: c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: SA_SIGINFO: the third argument is a ucontext_t that is ours.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let (trap, error) = (
        registers[libc::REG_TRAPNO as usize],
        registers[libc::REG_ERR as usize],
    );
    // SAFETY: the instruction there has just been executed.
    let bytes = unsafe { *(registers[libc::REG_RIP as usize] as *const [u8; 5]) };
    if bytes != TILEZERO || TRAP.load(SeqCst) != 0 {
        sys::exit_now(102);
    }
    TRAP.store((trap as u64) << 32 | error as u64, SeqCst);
    registers[libc::REG_RIP as usize] += TILEZERO.len() as i64;
}

impl Denied {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        sys::on_signal_with_context(libc::SIGILL, on_denied)?;
        Ok(Box::new(Denied(Tiles::configure())))
    }
}

impl Prepared for Denied {
    fn take(&mut self) {
        self.0.zero::<0>();
    }
    fn check(&mut self) -> anyhow::Result<()> {
        let trap = TRAP.load(SeqCst);
        ensure!(trap == 7 << 32, "trap number and error code: {trap:#x}");
        ensure!(
            !xcomp::permitted()?.contains(Feature::TILE_DATA),
            "it has permission now"
        );
        Ok(())
    }
}

struct Ask<F>(F, Option<Result<(), Error>>);

impl<F: Fn() -> Result<(), Error> + 'static> Ask<F> {
    fn prepare(ask: F) -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Ask(ask, None)))
    }
}

impl<F: Fn() -> Result<(), Error>> Prepared for Ask<F> {
    fn take(&mut self) {
        self.1 = Some((self.0)());
    }
    fn check(&mut self) -> anyhow::Result<()> {
        Ok(self.1.take().context("not asked")??)
    }
}

struct Request {
    request: fn(Feature) -> Result<(), Error>,
    permitted: fn() -> Result<xcomp::FeatureSet, Error>,
    answer: Option<Result<(), Error>>,
}

impl Request {
    fn prepare(
        request: fn(Feature) -> Result<(), Error>,
        permitted: fn() -> Result<xcomp::FeatureSet, Error>,
    ) -> anyhow::Result<Box<dyn Prepared>> {
        Ok(Box::new(Request {
            request,
            permitted,
            answer: None,
        }))
    }
}

impl Prepared for Request {
    fn take(&mut self) {
        self.answer = Some((self.request)(Feature::TILE_DATA));
    }
    fn check(&mut self) -> anyhow::Result<()> {
        self.answer.take().context("not asked")??;
        let has = (self.permitted)()?;
        ensure!(has.contains(Feature::TILE_DATA), "permitted: {has:?}");
        Ok(())
    }
}

struct Signal(Tiles);

static HANDLED: AtomicU64 = AtomicU64::new(0);

/// What the handler loads.
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
    /// The signal has come once before, so that no page has to be fetched on the path.
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
    fn check(&mut self) -> anyhow::Result<()> {
        ensure!(
            HANDLED.load(SeqCst) == 2,
            "in the handler: {}",
            HANDLED.load(SeqCst)
        );
        expect(&self.0.store_all(), 4)
    }
}

/// From here on the way back from a handler is counted.
#[inline(never)]
extern "C" fn leaves_handler() {
    HANDLED.fetch_add(1, SeqCst);
}

/// Sleeps until the module has taken the calling thread's buffer: long enough for two passes at a time.
fn sleep_until_reclaimed() -> anyhow::Result<()> {
    let before = idle::reclaimed()?;
    let _passes = Passes::begin()?;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(20));
        if idle::reclaimed()? > before {
            return Ok(());
        }
    }
    ensure!(!module_is_loaded(), "no buffer is taken");
    Ok(())
}

struct SigreturnAfterReclaim(Tiles);

extern "C" fn on_signal_that_sleeps(_: c_int) {
    if let Err(error) = sleep_until_reclaimed() {
        sys::print_now(&format!("# {error:#}\n"));
        return;
    }
    leaves_handler();
}

impl SigreturnAfterReclaim {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        sys::on_signal(libc::SIGUSR1, on_signal_that_sleeps)?;
        Ok(Box::new(SigreturnAfterReclaim(live(6)?)))
    }
}

impl Prepared for SigreturnAfterReclaim {
    fn take(&mut self) {
        sys::signal_thread(sys::tid(), libc::SIGUSR1);
    }
    fn check(&mut self) -> anyhow::Result<()> {
        ensure!(HANDLED.load(SeqCst) == 1, "the handler did not end");
        expect(&self.0.store_all(), 6)
    }
}

struct Regrow(anyhow::Result<()>);

impl Regrow {
    fn prepare() -> anyhow::Result<Box<dyn Prepared>> {
        drop(live(7)?);
        Ok(Box::new(Regrow(Ok(()))))
    }
}

impl Prepared for Regrow {
    fn take(&mut self) {
        self.0 = sleep_until_reclaimed();
    }
    fn check(&mut self) -> anyhow::Result<()> {
        std::mem::replace(&mut self.0, Ok(()))?;
        let mut tiles = Tiles::configure();
        tiles.load_all(&content(8));
        expect(&tiles.store_all(), 8)
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
    fn check(&mut self) -> anyhow::Result<()> {
        ensure!(self.1 > 0, "fork failed");
        let (_, end) = sys::wait(self.1, 0)?;
        ensure!(end == End::Exit(0), "the child ended with {end:?}");
        expect(&self.0.store_all(), 9)
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
    fn check(&mut self) -> anyhow::Result<()> {
        bail!("exec returned")
    }
}

/// The rest of the path, in the program that was executed.
///
/// # Errors
///
/// It has something of the one before.
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
    fn check(&mut self) -> anyhow::Result<()> {
        bail!("exit returned")
    }
}

/// The tracer's side: another process with live tiles is stopped.
struct Regset {
    tracee: i32,
    area: Vec<u8>,
    writes: bool,
    done: bool,
}

/// The content that the tracer writes.
const WRITTEN: u64 = 13;
/// More than an XSAVE area has.
const AREA: usize = 16 << 10;

impl Regset {
    fn prepare(writes: bool) -> anyhow::Result<Box<dyn Prepared>> {
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
        if writes {
            let size = sys::get_xstate(tracee, &mut area)?;
            area.truncate(size);
            let wanted = content(WRITTEN);
            area[sys::xstate_range(18)]
                .copy_from_slice(wanted.each_ref().map(|tile| tile.0).as_flattened());
        }
        Ok(Box::new(Regset {
            tracee,
            area,
            writes,
            done: false,
        }))
    }
}

impl Prepared for Regset {
    fn take(&mut self) {
        self.done = match self.writes {
            true => sys::set_xstate(self.tracee, &self.area).is_ok(),
            false => sys::get_xstate(self.tracee, &mut self.area).is_ok(),
        };
    }
    fn check(&mut self) -> anyhow::Result<()> {
        ensure!(self.done, "ptrace failed");
        let tiles = &self.area[sys::xstate_range(18)];
        let wanted = content(if self.writes { WRITTEN } else { 12 });
        ensure!(
            tiles == wanted.each_ref().map(|tile| tile.0).as_flattened(),
            "other tiles were read"
        );
        sys::ptrace(libc::PTRACE_CONT, self.tracee, 0)?;
        let (_, end) = sys::wait(self.tracee, 0)?;
        ensure!(end == End::Exit(0), "the traced process ended with {end:?}");
        Ok(())
    }
}
