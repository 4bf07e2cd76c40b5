// SPDX-License-Identifier: GPL-2.0
//! The paths through the kernel.

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

/// A path through the kernel.
pub struct Path {
    /// Its name.
    pub name: &'static str,
    /// Its description.
    pub about: &'static str,
    /// Where it starts.
    pub start: Start,
    /// Prepares it, in the process that will take it.
    pub prepare: Prepare,
    /// The disturbances that apply to it.
    pub by: Kinds,
    /// Whether it fails when memory runs out.
    pub starves: bool,
    /// Whether all of it runs under a lock that its victim needs.
    pub locked: bool,
    /// Whether it is disturbed once each time: what is done to it changes what it does next.
    pub once: bool,
    /// Whether a kill or a trace must be complete before the path continues: its victim does not need the path's CPU.
    pub waits: bool,
    /// The maximum number of trigger ticks for which its CPU is paused, if not the usual one.
    pub ticks: Option<u64>,
    /// What the kernel's own code does wrong there, however it is disturbed (bugs.rst); the path is then skipped
    /// without the module.
    pub not_without_module: Option<&'static str>,
    /// A file without which the path does not exist.
    pub needs: Option<&'static str>,
}

/// Where a path starts, and hence where it ends.
#[derive(Clone, Copy)]
pub enum Start {
    /// At [`Prepared::take`]. It ends when that returns.
    Arming,
    /// The same, but only the module's own instructions count, whichever task executes them on this CPU.
    Module,
    /// The same in this module function, until it returns.
    ModuleIn(&'static str),
    /// At the next #NM. It ends when [`Prepared::take`] returns.
    NextNm,
    /// At this function in the program. It ends when [`Prepared::take`] returns.
    Mark(extern "C" fn()),
    /// At this kernel function. It ends when that returns.
    Function(&'static str),
}

impl Start {
    /// Whether it is in the module.
    pub(super) fn is_in_module(self) -> bool {
        matches!(self, Start::Function(name) | Start::ModuleIn(name) if name.starts_with("xfd_"))
    }
}

/// Prepares a path, given what both sides share and its file descriptor.
pub type Prepare = fn(&'static Shared, i32) -> anyhow::Result<Box<dyn Prepared>>;

/// A path that is ready to be taken.
pub trait Prepared {
    /// Takes the path. An implementation that does not return calls [`Shared::is_over`] itself.
    fn take(&mut self);
    /// Checks that it ended as it should. `disturbed` says whether the trigger fired.
    ///
    /// # Errors
    ///
    /// It did not end as it should.
    fn check(&mut self, disturbed: bool) -> anyhow::Result<()>;
    /// Then prepares the path for another round in this process; false if there cannot be one.
    ///
    /// # Errors
    ///
    /// There should be another round, but preparing it failed.
    fn again(&mut self) -> anyhow::Result<bool> {
        Ok(false)
    }
    /// After the last round, checks that all is well.
    ///
    /// # Errors
    ///
    /// Something is wrong.
    fn end(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

impl Path {
    /// A task's path, with all disturbances that apply to any.
    const fn new(name: &'static str, about: &'static str, start: Start, prepare: Prepare) -> Self {
        Path {
            name,
            about,
            start,
            prepare,
            by: Kinds::USUAL.with(Kind::Unload),
            starves: false,
            locked: false,
            once: false,
            waits: false,
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

    const fn once(self) -> Self {
        Path { once: true, ..self }
    }

    const fn waits(self) -> Self {
        Path {
            waits: true,
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

/// The tasks' paths.
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

/// The paths of the module's own life cycle.
#[must_use]
pub fn of_module() -> Vec<&'static Path> {
    life::PATHS.iter().chain(life::FAILS).collect()
}

/// The hypervisors' paths.
#[must_use]
pub fn of_guests() -> Vec<&'static Path> {
    guest::PATHS.iter().collect()
}

/// The argument of a program executed on a path; the next argument is the file descriptor.
pub const EXECUTED: &str = "executed";
/// The same for a program that a victim executes.
pub const WOKEN: &str = "woken";

/// Asks for permission, and loads live tiles.
pub(super) fn live(number: u64) -> anyhow::Result<Tiles> {
    xcomp::request(Feature::TILE_DATA)?;
    let mut tiles = Tiles::configure();
    tiles.load_all(&content(number));
    Ok(tiles)
}

/// Another process has its first use, whichever code serves it, and exits.
pub(super) fn another_has_a_first_use() -> anyhow::Result<()> {
    child::passes(|| expect(&live(3)?.store_all(), 3))
}
