// SPDX-License-Identifier: GPL-2.0
//! Buffers that are reclaimed and given back.
#![expect(unsafe_code, reason = "a signal handler that reaches shared memory")]

use super::{live, Path, Prepared, Start, WOKEN};
use crate::counters::module_is_loaded;
use crate::every::kind::{Kind, Kinds};
use crate::every::shared::{Shared, TAKEN_ON, WATCHED_FROM};
use crate::every::{trigger, workers};
use crate::idle::{self, Passes};
use crate::sys::{self, End, Exec};
use crate::tile::{self, content, expect, Tiles};
use crate::{child, shared_memory};
use anyhow::{bail, ensure, Context};
use std::ffi::c_int;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use xcomp::Feature;

pub(super) const PATHS: &[Path] = &[
    Path::new(
        "sigreturn_after_reclaim",
        "back from a handler in which the buffer was taken",
        Start::Mark(leaves_handler),
        |_, _| SigreturnAfterReclaim::prepare(),
    )
    .by(Kinds::USUAL)
    .ticks(A_LONG_PAUSE),
    Path::new(
        "regrow",
        "a thread whose buffer was taken gets one before it returns from a system call",
        Start::Function("xfd_regrow_current"),
        |_, _| Regrow::prepare(),
    )
    .by(Kinds::ALL.without(Kind::Wake))
    .ticks(A_LONG_PAUSE),
    Path::new(
        "reclaim",
        "passes that take the buffer of a process that sleeps, and then uses tiles",
        Start::Module,
        |shared, fd| Reclaim::prepare(shared, fd, Victim::Uses),
    )
    .by(SLEEPERS)
    .waits()
    .ticks(A_PAUSE),
    Path::new(
        "reclaim_then_runs",
        "of one that sleeps, and then runs with live tiles",
        Start::Module,
        |shared, fd| Reclaim::prepare(shared, fd, Victim::Runs),
    )
    .by(Kinds::of(&[Kind::Wake]))
    .ticks(A_PAUSE),
    Path::new(
        "reclaim_then_sigreturn",
        "of one that sleeps in a handler, and then returns",
        Start::ModuleIn(TAKE),
        |shared, fd| Reclaim::prepare(shared, fd, Victim::ReturnsFromHandler),
    )
    .by(VICTIMS)
    .locked()
    .waits()
    .ticks(A_PAUSE),
    Path::new(
        "reclaim_then_exec",
        "of one that sleeps, and then executes another program",
        Start::ModuleIn(TAKE),
        |shared, fd| Reclaim::prepare(shared, fd, Victim::Execs),
    )
    .by(STAYS)
    .locked()
    .waits()
    .ticks(A_PAUSE),
    Path::new(
        "reclaim_then_exit",
        "of one that sleeps, and then ends",
        Start::ModuleIn(TAKE),
        |shared, fd| Reclaim::prepare(shared, fd, Victim::Exits),
    )
    .by(VICTIMS)
    .locked()
    .waits()
    .ticks(A_PAUSE),
    Path::new(
        "reclaim_beside_preempted",
        "passes that leave one alone that was preempted",
        Start::Module,
        |shared, fd| Reclaim::prepare(shared, fd, Victim::SpinsOn(TAKEN_ON)),
    )
    .by(Kinds::of(&[Kind::Preempt]))
    .ticks(A_LONG_PAUSE),
    Path::new(
        "reclaim_beside_running",
        "passes that leave one alone that runs",
        Start::Module,
        |shared, fd| Reclaim::prepare(shared, fd, Victim::SpinsOn(WATCHED_FROM)),
    )
    .by(SPINNERS)
    .ticks(A_LONG_PAUSE),
];

/// Trigger ticks. These paths wait for passes; the longer the pause, the less often it is polled.
const A_LONG_PAUSE: u64 = 20_000_000;
/// The same where most of a path runs under locks, on which a disturbance spins for that long.
const A_PAUSE: u64 = 5_000_000;

/// The function in which a pass takes a task's buffer.
const TAKE: &str = "xfd_take_buffer";

/// What applies to a victim.
const VICTIMS: Kinds = Kinds::ALL
    .without(Kind::Wait)
    .without(Kind::Migrate)
    .without(Kind::UnloadMeanwhile);
/// The same while the module stays: the kernel's own exec leaks (bugs.rst).
const STAYS: Kinds = VICTIMS.without_unloading();
/// What applies to a victim over a whole pass, of which it is a small part.
const SLEEPERS: Kinds = Kinds::of(&[
    Kind::Preempt,
    Kind::Kill,
    Kind::Trace,
    Kind::FirstUse,
    Kind::Wake,
]);
/// What applies to a victim that does not sleep.
const SPINNERS: Kinds = Kinds::of(&[Kind::Preempt, Kind::Wake]);

/// How many handlers have finished.
static HANDLED: AtomicU64 = AtomicU64::new(0);

/// From here on, the return from a handler is counted.
#[inline(never)]
extern "C" fn leaves_handler() {
    HANDLED.fetch_add(1, SeqCst);
}

/// Sleeps, long enough for two passes at a time, until the module has reclaimed the calling thread's buffer.
fn sleep_until_reclaimed() -> anyhow::Result<()> {
    let before = idle::reclaimed()?;
    let _passes = Passes::begin()?;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(20));
        if idle::taken_since(before) {
            return Ok(());
        }
    }
    ensure!(!module_is_loaded(), "no buffer was reclaimed");
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
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        ensure!(HANDLED.load(SeqCst) == 1, "the handler did not finish");
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
    fn check(&mut self, _: bool) -> anyhow::Result<()> {
        std::mem::replace(&mut self.0, Ok(()))?;
        let mut tiles = Tiles::configure();
        tiles.load_all(&content(8));
        expect(&tiles.store_all(), 8)
    }
    fn again(&mut self) -> anyhow::Result<bool> {
        Ok(true)
    }
}

/// What a process with idle tiles does when woken.
#[derive(Clone, Copy)]
enum Victim {
    Uses,
    /// It uses them, and runs for the whole path.
    Runs,
    ReturnsFromHandler,
    Execs,
    Exits,
    /// It never slept.
    SpinsOn(usize),
}

/// The worker that runs passes runs where the path is taken, while the process taking it sleeps.
struct Reclaim {
    shared: &'static Shared,
    victim: i32,
    /// A process that sleeps for the whole path: its buffer is reclaimed if the victim's is not.
    sleeper: i32,
    spins: bool,
    before: u64,
    _passes: Passes,
    taken: bool,
}

/// The interval between passes.
const INTERVAL: Duration = Duration::from_millis(20);
/// The longest that passes may take for it.
const LONG: Duration = Duration::from_millis(200);

impl Reclaim {
    fn prepare(
        shared: &'static Shared,
        fd: i32,
        role: Victim,
    ) -> anyhow::Result<Box<dyn Prepared>> {
        workers::allow_only(TAKEN_ON)?;
        let spins = matches!(role, Victim::SpinsOn(_));
        let victim = child::begin_on(role.cpu(), || role.play(shared, fd))?;
        shared.set_victim(victim);
        let mut sleeper = -1;
        if spins {
            sleeper = child::begin_on(WATCHED_FROM, || Victim::Exits.play(shared, fd))?;
            idle::wait_until_asleep(sleeper)?;
            while !shared.wait_until_spinning() {
                ensure!(!child::has_ended(victim), "the spinner has exited");
            }
        } else {
            idle::wait_until_asleep(victim)?;
        }
        let before = idle::reclaimed()?;
        let passes = Passes::each(INTERVAL)?;
        // The first pass only notes which tasks are idle; the second one is the path.
        thread::sleep(INTERVAL * 3 / 2);
        Ok(Box::new(Reclaim {
            shared,
            victim,
            sleeper,
            spins,
            before,
            _passes: passes,
            taken: false,
        }))
    }
}

impl Prepared for Reclaim {
    fn take(&mut self) {
        let begin = Instant::now();
        while !self.taken && begin.elapsed() < LONG {
            let ended = child::has_ended(self.victim) || self.shared.has_victim_finished();
            thread::sleep(INTERVAL);
            self.taken = idle::taken_since(self.before);
            if ended {
                break;
            }
        }
    }

    fn check(&mut self, disturbed: bool) -> anyhow::Result<()> {
        let excused = disturbed && self.shared.meets_victim();
        ensure!(
            self.taken || excused || !module_is_loaded(),
            "no buffer was reclaimed"
        );
        let taken = idle::reclaimed()
            .unwrap_or_default()
            .saturating_sub(self.before);
        ensure!(!self.spins || taken <= 1, "{taken} buffers were reclaimed");
        self.shared.wake_victim();
        let (_, end) = sys::wait(self.victim, 0).context("waitpid")?;
        let killed = self.shared.kills() && end == End::Signal(libc::SIGKILL);
        let survives = !self.shared.kills() || !disturbed || self.shared.was_late();
        ensure!(
            killed || survives && end == End::Exit(0),
            "the victim ended with {end:?}"
        );
        if self.spins {
            let (_, end) = sys::wait(self.sleeper, 0).context("waitpid")?;
            ensure!(end == End::Exit(0), "the sleeper ended with {end:?}");
        }
        Ok(())
    }
}

/// For a signal handler.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn on_signal_that_waits(_: c_int) {
    // SAFETY: set before the signal is sent, and never unmapped.
    if let Some(shared) = unsafe { SHARED.load(SeqCst).as_ref() } {
        shared.sleep_until_woken();
    }
}

impl Victim {
    fn cpu(self) -> usize {
        match self {
            Victim::SpinsOn(cpu) => cpu,
            _ => WATCHED_FROM,
        }
    }

    fn play(self, shared: &'static Shared, fd: i32) -> anyhow::Result<()> {
        sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)?;
        if let Victim::Runs = self {
            // The watcher is on the same CPU.
            sys::run_last()?;
        }
        let mut tiles = live(17)?;
        if let Victim::ReturnsFromHandler = self {
            SHARED.store(std::ptr::from_ref(shared).cast_mut(), SeqCst);
            sys::on_signal(libc::SIGUSR1, on_signal_that_waits)?;
            sys::signal_thread(sys::tid(), libc::SIGUSR1);
            return expect(&tiles.store_all(), 17);
        }
        drop(tiles);
        match self {
            Victim::SpinsOn(_) => {
                shared.spins();
                while !shared.is_woken() {
                    sys::keep_cpu();
                }
            }
            _ => shared.sleep_until_woken(),
        }
        match self {
            Victim::Exits => return Ok(()),
            Victim::Execs => {
                let exec = Exec::this_program(&[WOKEN, &fd.to_string()]);
                bail!("exec: {}", exec.run())
            }
            _ => (),
        }
        tiles = Tiles::configure();
        tiles.load_all(&content(18));
        if let Victim::Runs = self {
            shared.victim_has_finished();
            // Do it here: any other process would take the CPU from it, and its registers would be saved.
            trigger::let_go(TAKEN_ON);
            while !shared.was_taken() {
                sys::keep_cpu();
            }
        }
        expect(&tiles.store_all(), 18)
    }
}

/// The rest of a victim's life, in the program it has executed.
///
/// # Errors
///
/// The new program has some of the old one's state.
pub fn go_on_woken(fd: i32) -> anyhow::Result<()> {
    let shared: &Shared = shared_memory::attach(fd)?;
    ensure!(shared.is_woken(), "it was not woken");
    ensure!(!tile::configured(), "it has tiles");
    let has = xcomp::permitted()?;
    ensure!(!has.contains(Feature::TILE_DATA), "it has permission");
    Ok(())
}
