// SPDX-License-Identifier: GPL-2.0
//! A task whose buffer was reclaimed runs its task_work while the module is being removed and gives
//! it a buffer from outside, in every interleaving that loom explores. `Owed` and the functions
//! that handle it model rust/xfd/reclaim/owed.c and regrow.rs, function by function, together with
//! what these need from task_work and task_call_func(). Keep the model in sync with the code.

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

/// `struct xfd_owed`. Every access checks `there`.
struct Owed {
    there: UnsafeCell<bool>,
    /// Which function the work has: regrow_work(), or the kernel's own kfree().
    is_detached: AtomicBool,
    state: UnsafeCell<State>,
}

impl Owed {
    fn touch(&self) {
        // SAFETY: loom panics on a concurrent write.
        assert!(self.there.with(|there| unsafe { *there }), "freed already");
    }

    fn free(&self) {
        self.touch();
        // SAFETY: loom panics on a concurrent access.
        self.there.with_mut(|there| unsafe { *there = false });
    }

    fn state(&self, _lock: &MutexGuard<'_, bool>) -> State {
        self.touch();
        // SAFETY: loom panics on a concurrent write.
        self.state.with(|state| unsafe { *state })
    }

    fn set(&self, to: State, _lock: &MutexGuard<'_, bool>) {
        self.touch();
        // SAFETY: loom panics on a concurrent access.
        self.state.with_mut(|state| unsafe { *state = to });
    }

    /// The load of the function in task_work_run(). It is a plain load, but the call depends on it,
    /// so nothing in the function happens before it: it acts as an acquire.
    fn function_is_kfree(&self) -> bool {
        self.touch();
        self.is_detached.load(Acquire)
    }
}

/// A task and its entry.
struct World {
    /// pi_lock and the run queue's lock, which keep a task where it is. True if the task is
    /// running.
    held: Mutex<bool>,
    /// Whether the work is on the task's list.
    queued: AtomicBool,
    exiting: AtomicBool,
    /// A fatal signal is pending.
    is_dying: AtomicBool,
    /// Whether the task has an enlarged buffer.
    enlarged: UnsafeCell<bool>,
    /// `xfd_owed_lock`. True if the entry is on the list.
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
        // SAFETY: loom panics on a concurrent write.
        self.enlarged.with(|enlarged| unsafe { *enlarged })
    }

    fn enlarge(&self) {
        // SAFETY: loom panics on a concurrent access.
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

    /// The task is on its way to user mode and calls task_work_run(). If `earlier` is set, another
    /// work runs before ours and sleeps.
    fn returns_to_user(&self, earlier: bool) {
        self.wakes();
        self.task_work_run(earlier);
        assert!(self.is_enlarged(), "in user mode without its buffer");
    }

    /// The task exits, and exit_task_work() runs its work.
    fn exits(&self) {
        self.wakes();
        self.exiting.store(true, Relaxed);
        self.task_work_run(false);
        *self.held.lock().unwrap() = false;
    }

    /// A signal kills the task. Between the work and the exit, the kernel writes its core dump from
    /// the FPU state, and sleeps.
    fn dies(&self) {
        self.wakes();
        self.is_dying.store(true, Relaxed);
        self.task_work_run(false);
        let before = self.is_enlarged();
        self.sleeps();
        assert_eq!(
            self.is_enlarged(),
            before,
            "exchanged while the kernel uses it"
        );
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

    /// `xfd_claim_owed()`. Returns whether there was an entry.
    fn claim(&self) -> bool {
        let mut lock = self.lock.lock().unwrap();
        let listed = *lock;
        if listed {
            *lock = false;
            self.owed.set(State::Claimed, &lock);
        }
        listed
    }

    /// `give()`, called by task_call_func(). Returns whether the task needs nothing more.
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

    /// task_work_cancel_func(): compares the function of each work on the list.
    fn cancel(&self) -> bool {
        let _held = self.held.lock().unwrap();
        self.queued.load(Relaxed)
            && !self.owed.function_is_kfree()
            && self
                .queued
                .compare_exchange(true, false, AcqRel, Relaxed)
                .is_ok()
    }

    /// `is_over()`. Returns whether the caller has to free the entry.
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
            // Waits one tick.
            thread::yield_now();
        }
    }

    /// `give_all_back()`
    fn give_all_back(&self) {
        while self.claim() {
            self.give_to();
        }
    }

    /// Every entry has been freed. It cannot have been freed twice, because that panics.
    fn ends(&self) {
        // SAFETY: no other thread is left.
        assert!(
            !self.owed.there.with(|there| unsafe { *there }),
            "not freed"
        );
        assert!(!*self.lock.lock().unwrap(), "still on the list");
    }
}

/// A task in user mode has its buffer, from its own work or from outside.
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

/// The work has left the list and cannot be cancelled, because the task sleeps in an earlier work.
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

/// A task that exits needs no buffer, and nobody waits for it.
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

/// A task that dies gets no buffer after its work has run: the kernel may be reading the one that
/// it has.
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

/// A task that keeps sleeping eventually has its buffer, and no work of the module's.
#[test]
fn a_task_that_sleeps_on_is_served() {
    loom::model(|| {
        let world = World::new();
        world.give_all_back();
        assert!(world.is_enlarged() && !world.queued.load(Relaxed));
        world.ends();
    });
}
