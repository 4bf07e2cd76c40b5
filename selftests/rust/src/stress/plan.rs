// SPDX-License-Identifier: GPL-2.0
//! What each process and thread does, as a pure function of the seed and its position in the process tree: the same seed
//! makes the same choices, whatever the scheduler does.

use super::Place;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// What a thread does in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Asks for permission.
    Request,
    /// Loads all tiles with new contents.
    Load,
    /// Stores and compares all tiles.
    Check,
    /// TILERELEASE.
    Release,
    /// Yields the CPU.
    Yield,
    /// Moves to another CPU.
    Migrate,
    /// Sleeps for a moment with live tiles.
    Sleep,
    /// Sends itself a signal whose handler uses tiles.
    SignalSelf,
    /// Sends a signal to another thread of the process, whatever that is doing.
    SignalOther,
    /// Starts a thread that loads its tiles and exits with them live.
    Thread,
    /// Forks; the child uses tiles.
    Fork,
    /// Forks; the child executes this program again, and uses tiles.
    Exec,
    /// Like Fork, with memory shared until the child is done.
    Vfork,
    /// Forks, and reads and writes the child's tiles through ptrace while it checks them.
    Ptrace,
    /// Like Exec, but the new program does not ask, and dies of SIGILL.
    Denied,
}

use Operation::{
    Check, Denied, Exec, Fork, Load, Migrate, Ptrace, Release, Request, SignalOther, SignalSelf,
    Sleep, Thread, Vfork, Yield,
};

impl Operation {
    /// The number of operations.
    pub const COUNT: usize = 15;
    /// Each operation with its name and how often it is chosen, out of 1,000.
    pub const ALL: [(Operation, &'static str, u64); Self::COUNT] = [
        (Request, "request", 40),
        (Load, "load", 230),
        (Check, "check", 254),
        (Release, "release", 60),
        (Yield, "yield", 100),
        (Migrate, "migrate", 80),
        (Sleep, "sleep", 30),
        (SignalSelf, "signal_self", 80),
        (SignalOther, "signal_other", 80),
        (Thread, "thread", 20),
        (Fork, "fork", 9),
        (Exec, "exec", 3),
        (Vfork, "vfork", 7),
        (Ptrace, "ptrace", 4),
        (Denied, "denied", 3),
    ];
}

/// How a process, or its program, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// When all threads are done.
    Return,
    /// One thread calls exit_group with live tiles.
    ExitGroup,
    /// One thread executes this program again, which ends the others.
    Exec,
    /// One thread gets the process killed.
    Kill,
    /// One thread dies of an unhandled signal.
    Abort,
    /// The first thread, which holds the permission, exits at once; the others continue.
    LeaderLeaves,
}

impl Ending {
    /// The number of endings.
    pub const COUNT: usize = 6;
    /// Each ending with its name.
    pub const ALL: [(Ending, &'static str); Self::COUNT] = [
        (Ending::Return, "return"),
        (Ending::ExitGroup, "exit_group"),
        (Ending::Exec, "exec"),
        (Ending::Kill, "kill"),
        (Ending::Abort, "abort"),
        (Ending::LeaderLeaves, "leader_leaves"),
    ];

    /// Whether one thread triggers it while others still run.
    #[must_use]
    pub fn is_sudden(self) -> bool {
        !matches!(self, Ending::Return | Ending::LeaderLeaves)
    }
}

/// A process's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How it ends.
    pub ending: Ending,
    /// The thread that abruptly ends the process when its own steps are done.
    pub by: u32,
}

impl Plan {
    /// The plan for the process in `place`, whose thread does not matter.
    #[must_use]
    pub fn of(place: Place, threads: u32) -> Self {
        let mut choice = Choice::of(Place {
            thread: u32::MAX,
            ..place
        });
        let chosen = choice.below(Ending::COUNT as u64);
        // The first processes cover all endings, so that even a short run has them all.
        let ending = if place.generation == 0 {
            u64::from(place.slot)
        } else {
            chosen
        };
        Plan {
            ending: Ending::ALL[ending as usize % Ending::COUNT].0,
            by: choice.below(u64::from(threads)) as u32,
        }
    }

    /// The number of steps for one of its threads. The one that ends the process has fewer, so that the others are
    /// still in the middle of theirs.
    #[must_use]
    pub fn steps(self, thread: u32, choice: &mut Choice) -> u64 {
        let steps = 8 + choice.below(24);
        if self.ending.is_sudden() && self.by == thread {
            steps / 2
        } else {
            steps
        }
    }
}

/// A thread's choices.
#[derive(Clone)]
pub struct Choice(Xoshiro256PlusPlus);

impl Choice {
    /// One thread's choices.
    #[must_use]
    pub fn of(place: Place) -> Self {
        let Place {
            seed,
            slot,
            generation,
            thread,
        } = place;
        let mut mixed = seed;
        for part in [slot, generation, thread] {
            mixed = (mixed ^ u64::from(part)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^= mixed >> 29;
        }
        Choice(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// The next random number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`, which must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.number() % n
    }

    /// What to do next.
    pub fn operation(&mut self) -> Operation {
        let mut left = self.below(1000);
        for (operation, _, weight) in Operation::ALL {
            if left < weight {
                return operation;
            }
            left -= weight;
        }
        Check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        seed: 7,
        slot: 1,
        generation: 2,
        thread: 3,
    };

    #[test]
    fn lists_are_in_the_order_of_their_numbers_and_complete() {
        for (i, (operation, ..)) in Operation::ALL.iter().enumerate() {
            assert_eq!(*operation as usize, i);
        }
        for (i, (ending, _)) in Ending::ALL.iter().enumerate() {
            assert_eq!(*ending as usize, i);
        }
        assert_eq!(Operation::ALL.iter().map(|o| o.2).sum::<u64>(), 1000);
    }

    #[test]
    fn the_same_place_chooses_the_same() {
        let list = |place| {
            let mut choice = Choice::of(place);
            (0..50).map(|_| choice.operation()).collect::<Vec<_>>()
        };
        assert_eq!(list(PLACE), list(PLACE));
        assert_ne!(list(PLACE), list(Place { seed: 8, ..PLACE }));
        assert_ne!(list(PLACE), list(Place { thread: 4, ..PLACE }));
        assert_ne!(
            list(PLACE),
            list(Place {
                generation: 3,
                ..PLACE
            })
        );
    }

    #[test]
    fn every_ending_comes() {
        for (ending, name) in Ending::ALL {
            let comes = (0..200).any(|generation| {
                Plan::of(
                    Place {
                        generation,
                        ..PLACE
                    },
                    16,
                )
                .ending
                    == ending
            });
            assert!(comes, "{name}");
        }
    }
}
