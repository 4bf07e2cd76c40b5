// SPDX-License-Identifier: GPL-2.0
//! One process of a run, or its program after exec: its threads, and its end.

use super::plan::{Ending, Plan};
use super::shared::Shared;
use super::thread::{handle_signals, Siblings, Thread};
use super::{child, failure, Place};
use crate::sys::{self, End, Exec};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};
use std::sync::Arc;

const EXIT_GROUP: i32 = 7;
const LEADER_LEFT: i32 = 9;
const WRONG: i32 = 1;

/// How the process that started as `place` must end, and the generation of its last program.
#[must_use]
pub fn expected_end(place: Place, threads: u32) -> (End, u32) {
    let mut place = place;
    loop {
        let end = match Plan::of(place, threads).ending {
            Ending::Return => End::Exit(0),
            Ending::ExitGroup => End::Exit(EXIT_GROUP),
            Ending::LeaderLeaves => End::Exit(LEADER_LEFT),
            Ending::Kill => End::Signal(libc::SIGKILL),
            Ending::Abort => End::Signal(libc::SIGABRT),
            Ending::Exec => {
                place.generation += 1;
                continue;
            }
        };
        return (end, place.generation);
    }
}

struct Process {
    shared: &'static Shared,
    /// The descriptor of `shared`, for the program after exec.
    fd: i32,
    place: Place,
    plan: Plan,
    siblings: Arc<Siblings>,
    left: AtomicU32,
}

/// Runs the process in `place` to its end. `fd` is the descriptor of `shared`.
pub fn run(shared: &'static Shared, fd: i32, place: Place, after_exec: bool) -> ! {
    let threads = shared.threads.load(Relaxed);
    if let Err(e) = prepare(shared, place, after_exec) {
        failure(shared, place, format_args!("{e:#}"));
        sys::exit_now(WRONG);
    }
    let plan = Plan::of(place, threads);
    let may_exec = plan.ending == Ending::Exec;
    let process = Arc::new(Process {
        shared,
        fd,
        place,
        plan,
        siblings: Arc::new(Siblings {
            shared,
            may_exec,
            cpus: crate::cpus::allowed().unwrap_or_else(|_| vec![0]),
            tids: (0..threads).map(|_| AtomicI32::new(0)).collect(),
        }),
        left: AtomicU32::new(threads),
    });
    let leader_leaves = process.plan.ending == Ending::LeaderLeaves;
    let first = u32::from(!leader_leaves);
    let mut running = Vec::new();
    for thread in first..threads {
        let own = Arc::clone(&process);
        let builder = std::thread::Builder::new().stack_size(256 << 10);
        match builder.spawn(move || own.thread(thread)) {
            Ok(thread) => running.push(thread),
            // Another thread is already in execve, and ends this one.
            Err(e) if may_exec && e.raw_os_error() == Some(libc::EAGAIN) => break,
            Err(e) => {
                failure(shared, place, format_args!("thread {thread}: {e}"));
                sys::exit_now(WRONG);
            }
        }
    }
    if leader_leaves {
        sys::exit_thread();
    }
    process.thread(0);
    for thread in running {
        // The thread reports its own failures.
        let _ = thread.join();
    }
    shared.count_ending(Ending::Return);
    sys::exit_now(0)
}

fn prepare(shared: &'static Shared, place: Place, after_exec: bool) -> anyhow::Result<()> {
    if after_exec {
        child::fresh_image()?;
    }
    // In case Yama allows only parents to trace.
    let _ = sys::prctl(libc::PR_SET_PTRACER, u64::MAX);
    handle_signals(shared, place)
}

impl Process {
    /// Everything that one thread does.
    fn thread(&self, number: u32) {
        let place = Place {
            thread: number,
            ..self.place
        };
        self.siblings.tids[number as usize].store(sys::tid(), Relaxed);
        match catch_unwind(AssertUnwindSafe(|| self.work(place))) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => {
                failure(self.shared, place, format_args!("{e:#}"));
                sys::exit_now(WRONG);
            }
            Err(_) => {
                failure(self.shared, place, format_args!("panic"));
                sys::exit_now(WRONG);
            }
        }
        if self.left.fetch_sub(1, Relaxed) == 1 && self.plan.ending == Ending::LeaderLeaves {
            self.shared.count_ending(Ending::LeaderLeaves);
            sys::exit_now(LEADER_LEFT);
        }
    }

    fn work(&self, place: Place) -> anyhow::Result<()> {
        let mut thread = Thread::new(Arc::clone(&self.siblings), place);
        let steps = self.plan.steps(place.thread, &mut thread.choice);
        thread.run(steps)?;
        if self.plan.ending.is_sudden() && self.plan.by == place.thread && !self.shared.over() {
            thread.load()?;
            self.end()?;
        }
        Ok(())
    }

    /// Ends the process while its other threads are in the middle of something.
    fn end(&self) -> anyhow::Result<()> {
        self.shared.count_ending(self.plan.ending);
        match self.plan.ending {
            Ending::Return | Ending::LeaderLeaves => {}
            Ending::ExitGroup => sys::exit_now(EXIT_GROUP),
            Ending::Kill => while sys::signal_process(sys::pid(), libc::SIGKILL) {},
            Ending::Abort => while sys::signal_thread(sys::tid(), libc::SIGABRT) {},
            Ending::Exec => {
                let Place {
                    slot, generation, ..
                } = self.place;
                let image = format!("{}:{slot}:{}", self.fd, generation + 1);
                return Err(Exec::this_program(&["--image", &image]).run().into());
            }
        }
        Ok(())
    }
}
