// SPDX-License-Identifier: GPL-2.0
//! A task that is owed a buffer runs its work, while the module goes and gives it one from outside: in every order
//! that loom finds. `Owed` and who handles it are rust/xfd/reclaim/owed.c and regrow.rs, function by function: change
//! one with the other. Of the kernel's there is as much of task_work and task_call_func() as they count on.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{
    AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread;

/// `enum xfd_owed_state`
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Listed,
    Claimed,
    Done,
    Detached,
}

/// `struct xfd_owed`. Every use of it looks at `there`.
struct Owed {
    there: UnsafeCell<bool>,
    /// The work's function: regrow_work(), or the kernel's own kfree().
    is_detached: AtomicBool,
    state: UnsafeCell<State>,
}

impl Owed {
    fn touch(&self) {
        // SAFETY: loom panics if another thread writes at the same time.
        assert!(self.there.with(|there| unsafe { *there }), "freed already");
    }

    fn free(&self) {
        self.touch();
        // SAFETY: as above.
        self.there.with_mut(|there| unsafe { *there = false });
    }

    fn state(&self, _lock: &MutexGuard<'_, bool>) -> State {
        self.touch();
        // SAFETY: as above.
        self.state.with(|state| unsafe { *state })
    }

    fn set(&self, to: State, _lock: &MutexGuard<'_, bool>) {
        self.touch();
        // SAFETY: as above.
        self.state.with_mut(|state| unsafe { *state = to });
    }

    /// What task_work_run() calls. It loads the function plainly, and nothing that the function does comes before
    /// that load, on which it depends: as if it acquired.
    fn function_is_kfree(&self) -> bool {
        self.touch();
        self.is_detached.load(Acquire)
    }
}

/// One task and its entry.
struct World {
    /// pi_lock and the run queue's: with it a task is held where it is. Whether the task runs.
    held: Mutex<bool>,
    /// Whether the work is on the task's list.
    queued: AtomicBool,
    exiting: AtomicBool,
    /// A fatal signal is pending.
    is_dying: AtomicBool,
    /// Whether the task has an enlarged buffer.
    enlarged: UnsafeCell<bool>,
    /// `xfd_owed_lock`. Whether the entry is on the list.
    lock: Mutex<bool>,
    owed: Owed,
}

impl World {
    /// The task sleeps, its buffer was reclaimed, and its work is queued.
    fn new() -> Arc<Self> {
        Arc::new(World {
            held: Mutex::new(false),
            queued: AtomicBool::new(true),
            exiting: AtomicBool::new(false),
            is_dying: AtomicBool::new(false),
            enlarged: UnsafeCell::new(false),
            lock: Mutex::new(true),
            owed: Owed {
                there: UnsafeCell::new(true),
                is_detached: AtomicBool::new(false),
                state: UnsafeCell::new(State::Listed),
            },
        })
    }

    fn is_enlarged(&self) -> bool {
        // SAFETY: loom panics if another thread writes at the same time.
        self.enlarged.with(|enlarged| unsafe { *enlarged })
    }

    fn enlarge(&self) {
        // SAFETY: as above.
        self.enlarged
            .with_mut(|enlarged| unsafe { *enlarged = true });
    }

    fn wakes(&self) {
        *self.held.lock().unwrap() = true;
    }

    fn sleeps(&self) {
        *self.held.lock().unwrap() = false;
        self.wakes();
    }

    /// The task, on its way to user mode: task_work_run(). `earlier` is a work before ours that sleeps.
    fn returns_to_user(&self, earlier: bool) {
        self.wakes();
        self.task_work_run(earlier);
        assert!(self.is_enlarged(), "in user mode without its buffer");
    }

    /// The task exits, and its work is run by exit_task_work().
    fn exits(&self) {
        self.wakes();
        self.exiting.store(true, Relaxed);
        self.task_work_run(false);
        *self.held.lock().unwrap() = false;
    }

    /// A signal kills the task. The kernel's FPU code writes its core, and sleeps, between the work and the exit.
    fn dies(&self) {
        self.wakes();
        self.is_dying.store(true, Relaxed);
        self.task_work_run(false);
        let before = self.is_enlarged();
        self.sleeps();
        assert_eq!(self.is_enlarged(), before, "exchanged under the kernel");
    }

    fn task_work_run(&self, earlier: bool) {
        if !self.queued.swap(false, AcqRel) {
            return;
        }
        drop(self.held.lock().unwrap());
        if earlier {
            self.sleeps();
        }
        if self.owed.function_is_kfree() {
            self.owed.free();
        } else {
            self.regrow_work();
        }
    }

    /// `regrow_work()`
    fn regrow_work(&self) {
        let mut lock = self.lock.lock().unwrap();
        let before = self.owed.state(&lock);
        if before == State::Listed {
            *lock = false;
        } else if before == State::Claimed {
            self.owed.set(State::Done, &lock);
        }
        drop(lock);
        if !self.exiting.load(Relaxed) && !self.is_dying.load(Relaxed) {
            self.regrow_current();
        }
        if before != State::Claimed {
            self.owed.free();
        }
    }

    /// `xfd_regrow_current()`: sleeps for memory.
    fn regrow_current(&self) {
        if !self.is_enlarged() {
            self.sleeps();
            self.enlarge();
        }
    }

    /// `xfd_claim_owed()`: whether there was one.
    fn claim(&self) -> bool {
        let mut lock = self.lock.lock().unwrap();
        let listed = *lock;
        if listed {
            *lock = false;
            self.owed.set(State::Claimed, &lock);
        }
        listed
    }

    /// `give()`, with task_call_func(): whether the task is served.
    fn give(&self) -> bool {
        let runs = self.held.lock().unwrap();
        let lock = self.lock.lock().unwrap();
        let done = self.owed.state(&lock) == State::Done;
        drop(lock);
        if done || self.exiting.load(Relaxed) {
            return true;
        }
        if *runs {
            return false;
        }
        // `xfd_give_held()`
        if !self.is_enlarged() {
            self.enlarge();
        }
        true
    }

    /// task_work_cancel_func(): compares the functions of the works on the list.
    fn cancel(&self) -> bool {
        let _held = self.held.lock().unwrap();
        self.queued.load(Relaxed)
            && !self.owed.function_is_kfree()
            && self
                .queued
                .compare_exchange(true, false, AcqRel, Relaxed)
                .is_ok()
    }

    /// `is_over()`: whether the entry is the giver's to free.
    fn is_over(&self, served: bool) -> bool {
        let mut lock = self.lock.lock().unwrap();
        let mine = self.owed.state(&lock) == State::Done;
        if !mine && served {
            self.owed.set(State::Detached, &lock);
            self.owed.is_detached.store(true, Release);
        } else if !mine {
            self.owed.set(State::Listed, &lock);
            *lock = true;
        }
        mine
    }

    /// `xfd_give_to()`
    fn give_to(&self) {
        let served = self.give();
        if served && self.cancel() || self.is_over(served) {
            self.owed.free();
        } else if !served {
            // A tick.
            thread::yield_now();
        }
    }

    /// `give_all_back()`
    fn give_all_back(&self) {
        while self.claim() {
            self.give_to();
        }
    }

    /// Every entry is freed, and was once, since it cannot be twice.
    fn ends(&self) {
        // SAFETY: nobody else is there.
        assert!(
            !self.owed.there.with(|there| unsafe { *there }),
            "not freed"
        );
        assert!(!*self.lock.lock().unwrap(), "on the list");
    }
}

/// The task has its buffer when it is in user mode, by itself or from outside.
#[test]
fn a_task_returns_while_the_module_goes() {
    loom::model(|| {
        let world = World::new();
        let task = Arc::clone(&world);
        let task = thread::spawn(move || task.returns_to_user(false));
        world.give_all_back();
        task.join().unwrap();
        world.ends();
    });
}

/// Its work is off the list, and cannot be cancelled, while the task sleeps in the work of somebody else.
#[test]
fn a_task_sleeps_in_an_earlier_work() {
    loom::model(|| {
        let world = World::new();
        let task = Arc::clone(&world);
        let task = thread::spawn(move || task.returns_to_user(true));
        world.give_all_back();
        task.join().unwrap();
        world.ends();
    });
}

/// One that exits needs none, and is not waited for.
#[test]
fn a_task_exits_while_the_module_goes() {
    loom::model(|| {
        let world = World::new();
        let task = Arc::clone(&world);
        let task = thread::spawn(move || task.exits());
        world.give_all_back();
        task.join().unwrap();
        world.ends();
    });
}

/// One that dies is given none when its work is over: the kernel may look at the one that it has.
#[test]
fn a_task_dies_while_the_module_goes() {
    loom::model(|| {
        let world = World::new();
        let task = Arc::clone(&world);
        let task = thread::spawn(move || task.dies());
        world.give_all_back();
        task.join().unwrap();
        world.ends();
    });
}

/// A task that goes on sleeping has its buffer when all are given back, and no work of the module's.
#[test]
fn a_task_that_sleeps_on_is_served() {
    loom::model(|| {
        let world = World::new();
        world.give_all_back();
        assert!(world.is_enlarged() && !world.queued.load(Relaxed));
        world.ends();
    });
}
