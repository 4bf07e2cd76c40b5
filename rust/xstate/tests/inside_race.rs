// SPDX-License-Identifier: GPL-2.0
//! Tasks enter the module, sleep there and leave while the module is being removed, in every
//! interleaving that loom explores. `Inside` models rust/xfd/seam/inside.c and inside.h, `remove`
//! models `detach()` and `finish()` in rust/xfd/seam/lifecycle.rs, and `Tasks` models what they
//! need from RCU tasks. Keep the models in sync with the code.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicI64, Ordering::AcqRel, Ordering::Relaxed};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// Operations that are fully ordered in the kernel are `AcqRel` here. Removal does not depend on
/// that: the queue's lock orders the wake-up, and RCU tasks orders everything else.
struct Inside {
    count: AtomicI64,
    waited_for: AtomicBool,
    queue: Mutex<()>,
    woken: Condvar,
}

impl Inside {
    fn new() -> Self {
        Inside {
            count: AtomicI64::new(1),
            waited_for: AtomicBool::new(false),
            queue: Mutex::new(()),
            woken: Condvar::new(),
        }
    }

    /// `xfd_enter()`: atomic64_inc() implies no ordering.
    fn enter(&self) {
        self.count.fetch_add(1, Relaxed);
    }

    /// `xfd_leave()`: atomic64_dec_and_test() is fully ordered. The caller is still running the
    /// module's `text`.
    fn leave(&self, text: &Text) {
        if self.count.fetch_sub(1, AcqRel) == 1 {
            text.run();
            // `xfd_wake_waiter()`: swake_up_one() takes the queue's lock.
            let _queue = self.queue.lock().unwrap();
            self.woken.notify_one();
        }
    }

    /// `xfd_wait_for_inside()`
    fn wait(&self) {
        self.waited_for.store(true, Relaxed);
        if self.count.fetch_sub(1, AcqRel) != 1 {
            self.sleep_until_zero();
        }
        self.count.fetch_add(1, Relaxed);
        self.waited_for.store(false, Relaxed);
    }

    /// swait_event_idle_exclusive() checks the condition before it queues the waiter, and again
    /// after that. The waker takes the queue's lock either between queueing and the second check,
    /// or after both.
    fn sleep_until_zero(&self) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let mut queue = self.queue.lock().unwrap();
        while self.count.load(Relaxed) != 0 {
            queue = self.woken.wait(queue).unwrap();
        }
    }

    /// `inside()` in lifecycle.rs
    fn shown(&self) -> i64 {
        let waited_for = self.waited_for.load(Relaxed);
        self.count.load(Relaxed) - i64::from(!waited_for)
    }
}

/// A task, as RCU tasks sees it.
#[derive(Clone, Copy)]
struct Task {
    /// It is running in the kernel and has not slept, so it holds up a grace period.
    holds_up: bool,
    /// How often it has stopped holding up a grace period.
    times: u32,
}

/// RCU tasks: waits until every task running in the kernel has slept once or returned to user mode.
struct Tasks<const N: usize> {
    tasks: Mutex<[Task; N]>,
    changed: Condvar,
}

impl<const N: usize> Tasks<N> {
    fn new() -> Self {
        let task = Task {
            holds_up: false,
            times: 0,
        };
        Tasks {
            tasks: Mutex::new([task; N]),
            changed: Condvar::new(),
        }
    }

    fn runs(&self, who: usize) {
        self.tasks.lock().unwrap()[who].holds_up = true;
    }

    /// The task sleeps, or returns to user mode.
    fn is_quiet(&self, who: usize) {
        let mut tasks = self.tasks.lock().unwrap();
        tasks[who].holds_up = false;
        tasks[who].times += 1;
        self.changed.notify_one();
    }

    /// synchronize_rcu_tasks()
    fn synchronize(&self) {
        let mut tasks = self.tasks.lock().unwrap();
        let before = *tasks;
        for who in 0..N {
            while before[who].holds_up && tasks[who].times == before[who].times {
                tasks = self.changed.wait(tasks).unwrap();
            }
        }
    }
}

/// The module's text. loom panics if it is freed while somebody is running it or may still run it.
struct Text(UnsafeCell<bool>);

impl Text {
    fn run(&self) {
        // SAFETY: loom panics on a concurrent write.
        assert!(self.0.with(|there| unsafe { *there }), "freed text is run");
    }

    fn free(&self) {
        // SAFETY: loom panics on a concurrent access.
        self.0.with_mut(|there| unsafe { *there = false });
    }
}

struct Module<const N: usize> {
    /// A way into the module: the #NM call site, a direct call, a probe.
    call: AtomicBool,
    inside: Inside,
    tasks: Tasks<N>,
    text: Text,
}

impl<const N: usize> Module<N> {
    fn new() -> Arc<Self> {
        Arc::new(Module {
            call: AtomicBool::new(true),
            inside: Inside::new(),
            tasks: Tasks::new(),
            text: Text(UnsafeCell::new(true)),
        })
    }

    /// A task enters and sleeps for memory, as in `xfd_nm_entry()` and `grant()`.
    fn visit(&self, who: usize) {
        self.tasks.runs(who);
        if self.call.load(Relaxed) {
            self.text.run();
            self.inside.enter();
            self.tasks.is_quiet(who);
            self.tasks.runs(who);
            self.text.run();
            self.inside.leave(&self.text);
            self.text.run();
        }
        self.tasks.is_quiet(who);
    }

    fn remove(&self) {
        self.remove_by(|| self.tasks.synchronize(), || self.inside.wait());
    }

    fn remove_by(&self, synchronize: impl Fn(), wait: impl Fn()) {
        self.call.store(false, Relaxed);
        synchronize();
        wait();
        self.tasks.synchronize();
        self.text.free();
        assert_eq!(self.inside.shown(), 0);
    }
}

/// Nobody runs freed text, and nobody waits forever.
#[test]
fn the_text_goes_after_all_tasks() {
    loom::model(|| {
        let module = Module::<1>::new();
        let visited = Arc::clone(&module);
        let visitor = thread::spawn(move || visited.visit(0));
        module.remove();
        visitor.join().unwrap();
    });
}

/// The same with two tasks, either of which may be the last to leave.
#[test]
fn the_last_of_two_wakes_who_waits() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let module = Module::<2>::new();
        let visitors = [0, 1].map(|who| {
            let visited = Arc::clone(&module);
            thread::spawn(move || visited.visit(who))
        });
        module.remove();
        for visitor in visitors {
            visitor.join().unwrap();
        }
    });
}

/// The number in debugfs may briefly be off by one, but never by more.
#[test]
fn the_number_shown_is_wrong_by_one_at_most() {
    loom::model(|| {
        let module = Module::<1>::new();
        let (counted, waited) = (Arc::clone(&module), Arc::clone(&module));
        let visitor = thread::spawn(move || {
            counted.inside.enter();
            counted.inside.leave(&counted.text);
        });
        let waiter = thread::spawn(move || waited.inside.wait());
        let shown = module.inside.shown();
        assert!((-1..=2).contains(&shown), "{shown}");
        visitor.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(module.inside.shown(), 0);
    });
}

/// Shows that the model can fail: RCU tasks alone does not wait for a task sleeping in the module.
#[test]
#[should_panic]
fn a_module_that_does_not_count_is_noticed() {
    loom::model(|| {
        let module = Module::<1>::new();
        let visited = Arc::clone(&module);
        let visitor = thread::spawn(move || visited.visit(0));
        module.remove_by(|| module.tasks.synchronize(), || ());
        visitor.join().unwrap();
    });
}

/// Shows that the model can fail: the count alone does not wait for a task that has entered but is
/// not counted yet.
#[test]
#[should_panic]
fn a_count_that_is_checked_too_early_is_noticed() {
    loom::model(|| {
        let module = Module::<1>::new();
        let visited = Arc::clone(&module);
        let visitor = thread::spawn(move || visited.visit(0));
        module.remove_by(|| (), || module.inside.wait());
        visitor.join().unwrap();
    });
}
