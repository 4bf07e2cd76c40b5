// SPDX-License-Identifier: GPL-2.0
//! The paths.

mod first_use;
pub mod guest;
mod kernel_tiles;
mod life;
mod live;
mod procfs;
mod reclaim;

pub use kernel_tiles::put_back;
pub use live::go_on_executed;
pub use reclaim::go_on_woken;

use super::kind::{Kind, Kinds};
use super::shared::Shared;
use crate::child;
use crate::tile::{content, expect, Tiles};
use xcomp::Feature;

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
    /// What disturbs it.
    pub by: Kinds,
    /// Whether it fails for lack of memory.
    pub starves: bool,
    /// Whether all of it is under a lock that its victim needs.
    pub locked: bool,
    /// For how many ticks of the trigger its CPU stands still at most, if not as long as the disturbance usually needs.
    pub ticks: Option<u64>,
    /// What the kernel's own code does wrong there, whatever disturbs it (bugs.rst): it is not tried then.
    pub not_without_module: Option<&'static str>,
    /// A file without which there is no such path.
    pub needs: Option<&'static str>,
}

/// Where a path begins.
#[derive(Clone, Copy)]
pub enum Start {
    /// With [`Prepared::take`]. It ends when that has returned.
    Arming,
    /// The same; only the module's own instructions count, whoever executes them on this CPU.
    Module,
    /// The same in this function of its, until it returns.
    ModuleIn(&'static str),
    /// With the next #NM. The same end.
    NextNm,
    /// With this function of the program's. The same end.
    Mark(extern "C" fn()),
    /// With this function of the kernel's. It ends when that returns.
    Function(&'static str),
}

impl Start {
    /// Whether it is a function of the module's.
    pub(super) fn is_in_module(self) -> bool {
        matches!(self, Start::Function(name) | Start::ModuleIn(name) if name.starts_with("xfd_"))
    }
}

/// What both sides share, and the file descriptor behind it.
pub type Prepare = fn(&'static Shared, i32) -> anyhow::Result<Box<dyn Prepared>>;

/// A path that can be taken.
pub trait Prepared {
    /// Takes it. What does not return calls [`Shared::is_over`] itself.
    fn take(&mut self);
    /// Whether it led where it should. `disturbed` if the trigger fired.
    ///
    /// # Errors
    ///
    /// It did not.
    fn check(&mut self, disturbed: bool) -> anyhow::Result<()>;
    /// After that, prepares the path to be taken by this process again; whether it can.
    ///
    /// # Errors
    ///
    /// It should, and cannot.
    fn again(&mut self) -> anyhow::Result<bool> {
        Ok(false)
    }
    /// After the last time: whether all is well.
    ///
    /// # Errors
    ///
    /// It is not.
    fn end(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

impl Path {
    /// Of a task, disturbed by whatever can disturb one.
    const fn new(name: &'static str, about: &'static str, start: Start, prepare: Prepare) -> Self {
        Path {
            name,
            about,
            start,
            prepare,
            by: Kinds::USUAL.with(Kind::Unload),
            starves: false,
            locked: false,
            ticks: None,
            not_without_module: None,
            needs: None,
        }
    }

    const fn starves(self) -> Self {
        Path {
            starves: true,
            ..self
        }
    }

    const fn locked(self) -> Self {
        Path {
            locked: true,
            ..self
        }
    }

    const fn ticks(self, ticks: u64) -> Self {
        Path {
            ticks: Some(ticks),
            ..self
        }
    }

    const fn not_without_module(self, why: &'static str) -> Self {
        Path {
            not_without_module: Some(why),
            ..self
        }
    }

    const fn needs(self, file: &'static str) -> Self {
        Path {
            needs: Some(file),
            ..self
        }
    }

    const fn by(self, by: Kinds) -> Self {
        Path { by, ..self }
    }
}

/// Those of tasks.
#[must_use]
pub fn of_tasks() -> Vec<&'static Path> {
    let groups = [
        first_use::PATHS,
        live::PATHS,
        reclaim::PATHS,
        kernel_tiles::PATHS,
        procfs::PATHS,
    ];
    groups.into_iter().flatten().collect()
}

/// Those of the module itself.
#[must_use]
pub fn of_module() -> Vec<&'static Path> {
    life::PATHS.iter().chain(life::FAILS).collect()
}

/// Those of hypervisors.
#[must_use]
pub fn of_guests() -> Vec<&'static Path> {
    guest::PATHS.iter().collect()
}

/// The argument of a program that was executed on a path; the next one is the file descriptor.
pub const EXECUTED: &str = "executed";
/// The same for a victim.
pub const WOKEN: &str = "woken";

/// With permission, and live tiles.
pub(super) fn live(number: u64) -> anyhow::Result<Tiles> {
    xcomp::request(Feature::TILE_DATA)?;
    let mut tiles = Tiles::configure();
    tiles.load_all(&content(number));
    Ok(tiles)
}

/// Another process has its first use, whoever serves it, and ends.
pub(super) fn another_has_a_first_use() -> anyhow::Result<()> {
    child::passes(|| expect(&live(3)?.store_all(), 3))
}
