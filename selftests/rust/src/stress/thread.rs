// SPDX-License-Identifier: GPL-2.0
//! One thread: its operations, and what its tiles must contain after each.

use super::plan::{Choice, Operation};
use super::shared::Shared;
use super::{child, failure, Place};
use crate::tile::{content, first_difference, Tile, Tiles, TILES};
use crate::{cpus, sys};
use anyhow::{ensure, Context};
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use xcomp::Feature;

/// Set once the current program of the process has permission.
static PERMITTED: AtomicBool = AtomicBool::new(false);

/// What all threads of a process share.
pub struct Siblings {
    /// The run's counts.
    pub shared: &'static Shared,
    /// The CPUs it may run on.
    pub cpus: Vec<usize>,
    /// Whether one of them will exec; while it does, the others cannot start threads.
    pub may_exec: bool,
    /// Each thread's TID; 0 before it runs.
    pub tids: Vec<AtomicI32>,
}

/// One thread. The contents of its tiles are known at all times.
pub struct Thread {
    /// What the process's threads share.
    pub siblings: Arc<Siblings>,
    /// Its place in the run.
    pub place: Place,
    /// Its choices.
    pub choice: Choice,
    /// Present while the tiles are configured.
    tiles: Option<Tiles>,
    /// Their contents.
    held: Box<[Tile; TILES]>,
    used: bool,
    tid: i32,
}

impl Thread {
    /// The calling thread, which has not used tiles.
    #[must_use]
    pub fn new(siblings: Arc<Siblings>, place: Place) -> Self {
        Thread {
            siblings,
            place,
            choice: Choice::of(place),
            tiles: None,
            held: Box::new([Tile::ZERO; TILES]),
            used: false,
            tid: sys::tid(),
        }
    }

    /// Does this many steps, or fewer if the run ends.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong, with the operation's number and name.
    pub fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        for number in 0..steps {
            if self.siblings.shared.over() {
                break;
            }
            let operation = self.choice.operation();
            self.siblings.shared.tids[self.place.slot as usize].store(self.tid, Relaxed);
            self.step(operation)
                .and_then(|()| self.check())
                .with_context(|| format!("operation {number}, {operation:?}"))?;
            self.siblings.shared.count(operation);
        }
        Ok(())
    }

    fn step(&mut self, operation: Operation) -> anyhow::Result<()> {
        match operation {
            Operation::Request => self.request(),
            Operation::Load => self.load(),
            Operation::Check => Ok(()),
            Operation::Release => {
                self.tiles = None;
                Ok(())
            }
            Operation::Yield => {
                cpus::give_way();
                Ok(())
            }
            Operation::Migrate => self.migrate(),
            Operation::Sleep => {
                std::thread::sleep(Duration::from_micros(self.choice.below(300)));
                Ok(())
            }
            Operation::SignalSelf => self.signal(self.place.thread),
            Operation::SignalOther => {
                let other = self.choice.below(self.siblings.tids.len() as u64);
                self.signal(other as u32)
            }
            Operation::Thread => self.short_lived_thread(),
            Operation::Fork => child::fork(self),
            Operation::Exec => child::exec(self),
            Operation::Vfork => child::vfork(self),
            Operation::Ptrace => child::ptrace(self),
            Operation::Denied => child::denied(self),
        }
    }

    fn request(&mut self) -> anyhow::Result<()> {
        xcomp::request(Feature::TILE_DATA).context("request")?;
        let permitted = xcomp::permitted().context("permitted")?;
        ensure!(
            permitted.contains(Feature::TILE_DATA),
            "permitted: {permitted:?}"
        );
        PERMITTED.store(true, Relaxed);
        Ok(())
    }

    /// Loads new contents.
    ///
    /// # Errors
    ///
    /// No permission.
    pub fn load(&mut self) -> anyhow::Result<()> {
        if !PERMITTED.load(Relaxed) {
            self.request()?;
        }
        *self.held = content(self.choice.number());
        self.tiles
            .get_or_insert_with(Tiles::configure)
            .load_all(&self.held);
        if !self.used {
            self.used = true;
            self.siblings.shared.first_uses.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Compares the tiles with their expected contents.
    fn check(&mut self) -> anyhow::Result<()> {
        match &mut self.tiles {
            Some(tiles) => same(&tiles.store_all(), &self.held).with_context(|| {
                let again = same(&tiles.store_all(), &self.held).is_ok();
                format!(
                    "stored again they are {}, XINUSE {:#x}",
                    if again { "right" } else { "wrong" },
                    crate::tile::in_use()
                )
            }),
            None => {
                ensure!(
                    !crate::tile::configured(),
                    "tiles are configured after their release"
                );
                Ok(())
            }
        }
    }

    fn migrate(&mut self) -> anyhow::Result<()> {
        let cpus = &self.siblings.cpus;
        let cpu = cpus[self.choice.below(cpus.len() as u64) as usize];
        match cpus::pin_to(cpu) {
            // The CPU is, or has just been, offline.
            Err(_) if self.siblings.shared.hotplug.load(Relaxed) != 0 => Ok(()),
            other => other,
        }
    }

    /// Signals a thread of this process, which may be gone.
    fn signal(&mut self, thread: u32) -> anyhow::Result<()> {
        let signal = [libc::SIGUSR1, libc::SIGUSR2][self.choice.below(2) as usize];
        let tid = self.siblings.tids[thread as usize].load(Relaxed);
        if tid != 0 {
            let sent = sys::signal_thread(tid, signal);
            ensure!(sent || thread != self.place.thread, "cannot signal itself");
        }
        Ok(())
    }

    fn short_lived_thread(&mut self) -> anyhow::Result<()> {
        let siblings = Arc::clone(&self.siblings);
        let place = self.place;
        let choice = Choice::of(Place {
            seed: self.choice.number(),
            ..place
        });
        let thread = std::thread::Builder::new().spawn(move || {
            let mut thread = Thread {
                choice,
                ..Thread::new(siblings, place)
            };
            thread.load()?;
            cpus::give_way();
            thread.check()?;
            thread.leave_live();
            Ok(())
        });
        let thread = match thread {
            // clone refuses while another thread is in execve (7.2: kernel/fork.c:1634).
            Err(e) if self.siblings.may_exec && e.raw_os_error() == Some(libc::EAGAIN) => {
                return Ok(())
            }
            other => other?,
        };
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("the thread panicked"))?
    }

    /// Keeps the tiles live when this is dropped.
    pub fn leave_live(&mut self) {
        std::mem::forget(self.tiles.take());
    }
}

/// Checks the tiles' contents.
///
/// # Errors
///
/// The first difference.
pub fn same(now: &[Tile; TILES], expected: &[Tile; TILES]) -> anyhow::Result<()> {
    if let Some((tile, byte, is, must)) = first_difference(now, expected) {
        let zero = if now == &[Tile::ZERO; TILES] {
            "; all tiles are zero"
        } else {
            ""
        };
        anyhow::bail!("tile {tile} byte {byte} is {is:#04x}, must be {must:#04x}{zero}");
    }
    Ok(())
}

static HANDLERS_PLACE: OnceLock<(&'static Shared, Place)> = OnceLock::new();

/// Installs a handler for SIGUSR1 and SIGUSR2 that uses tiles, whichever thread gets them.
///
/// # Errors
///
/// Errors from sigaction.
pub fn handle_signals(shared: &'static Shared, place: Place) -> anyhow::Result<()> {
    HANDLERS_PLACE.get_or_init(|| {
        (
            shared,
            Place {
                thread: u32::MAX,
                ..place
            },
        )
    });
    sys::on_signal(libc::SIGUSR1, on_signal)?;
    sys::on_signal(libc::SIGUSR2, on_signal)?;
    Ok(())
}

/// Uses tiles, interrupting a thread that may be using them, or be about to for the first time.
/// SIGUSR1 releases them, SIGUSR2 leaves that to sigreturn.
extern "C" fn on_signal(signal: c_int) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    if !PERMITTED.load(Relaxed) {
        return;
    }
    let content = content(NUMBER.fetch_add(1, Relaxed));
    let mut tiles = Tiles::configure();
    tiles.load_all(&content);
    if signal == libc::SIGUSR2 {
        cpus::give_way();
    }
    let difference = first_difference(&tiles.store_all(), &content);
    if let (Some(difference), Some((shared, place))) = (difference, HANDLERS_PLACE.get()) {
        let tid = sys::tid();
        failure(
            shared,
            *place,
            format_args!("handler in {tid}: tile, byte, is, must: {difference:?}"),
        );
    }
    if signal == libc::SIGUSR2 {
        std::mem::forget(tiles);
    }
}
