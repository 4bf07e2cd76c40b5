// SPDX-License-Identifier: GPL-2.0
//! Threads of a process request a permission and use it at the same time, in every interleaving
//! that loom explores: the protocol of rust/xfd/permission and rust/xfd/first_use, around this
//! crate's decisions. The mask is read without a lock. siglock protects the sizes, which the
//! kernel's own code uses when this module is not loaded.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread;
use std::sync::atomic::AtomicBool;
use xstate::buffer::{self, Masks, Need};
use xstate::capacity::{Capacities, Capacity};
use xstate::layout::{Component, Format, Layout};
use xstate::permission::{self, Answer, Permission, PermissionKind};
use xstate::xfeature::Xfeatures;

const DEFAULT: Xfeatures = Xfeatures::from_bits(0x202e7);
const USER: Xfeatures = Xfeatures::from_bits(0x602e7);
const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
const SMALL: Masks = Masks {
    xfeatures: DEFAULT,
    user_xfeatures: DEFAULT,
    xfd: TILES,
};

fn capacities() -> Capacities {
    let layout = Layout::new(Format::Compacted, |i| match i {
        17 => Component {
            size: 64,
            offset: 2752,
            aligned64: true,
        },
        18 => Component {
            size: 8192,
            offset: 2816,
            aligned64: true,
        },
        _ => Component::default(),
    });
    Capacities::new(layout, USER, [DEFAULT | TILES, DEFAULT])
}

/// The group leader's `struct fpu_state_perm`.
struct Group {
    siglock: Mutex<()>,
    mask: AtomicU64,
    sizes: UnsafeCell<(u32, u32)>,
}

impl Group {
    fn new() -> Self {
        let capacities = capacities();
        let layout = capacities.layout();
        let sizes = (
            layout.size(DEFAULT, Format::Compacted),
            layout.size(DEFAULT, Format::Standard),
        );
        Group {
            siglock: Mutex::new(()),
            mask: AtomicU64::new(DEFAULT.bits()),
            sizes: UnsafeCell::new(sizes),
        }
    }

    fn xfeatures(&self) -> Xfeatures {
        Xfeatures::from_bits(self.mask.load(Relaxed))
    }

    /// The kernel's own `__xfd_enable_feature()`, arch/x86/kernel/fpu/xstate.c:1781. Returns the
    /// size of the buffer, or `None` for SIGILL.
    fn first_use_in_c(&self, _siglock: &MutexGuard<'_, ()>) -> Option<u32> {
        self.first_use_in_c_unlocked()
    }

    fn first_use_in_c_unlocked(&self) -> Option<u32> {
        if !permission::allows(self.xfeatures(), TILES) {
            return None;
        }
        // SAFETY: loom panics on a concurrent write.
        let (kernel_size, _) = self.sizes.with(|sizes| unsafe { *sizes });
        Some(kernel_size)
    }

    fn set(&self, permission: &Permission, _siglock: &MutexGuard<'_, ()>) {
        self.mask.store(permission.xfeatures.bits(), Relaxed);
        // SAFETY: loom panics on a concurrent access.
        self.sizes
            .with_mut(|sizes| unsafe { *sizes = (permission.kernel_size, permission.user_size) });
    }

    /// `request()` and `grant()` in prctl.rs, without the check of signal stacks. Returns whether
    /// this request was the one that stored the permission.
    fn request(&self) -> bool {
        if permission::allows(self.xfeatures(), TILES) {
            return false;
        }
        let siglock = self.siglock.lock().unwrap();
        let answer =
            permission::request(self.xfeatures(), TILES, PermissionKind::Host, &capacities());
        match answer {
            Ok(Answer::Grant(granted)) => {
                self.set(&granted, &siglock);
                true
            }
            Ok(Answer::Already) => false,
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    /// `first_use()` in nm_handler.rs. Returns the buffer's capacity, or `None` for SIGILL.
    fn first_use(&self) -> Option<Capacity> {
        capacity_for(self.xfeatures())
    }
}

/// The capacity for a first use by a process that may use `permitted`.
fn capacity_for(permitted: Xfeatures) -> Option<Capacity> {
    if !permission::allows(permitted, TILES) {
        return None;
    }
    match buffer::need(SMALL, TILES, permitted, &capacities()) {
        Need::Enlarge(capacity) => {
            assert!(
                buffer::commit(SMALL, TILES, &capacity).is_some(),
                "too small"
            );
            Some(capacity)
        }
        Need::StaleXfd => panic!("an armed thread needs a buffer"),
    }
}

#[test]
fn one_of_two_requests_is_granted() {
    loom::model(|| {
        let group = Arc::new(Group::new());
        let other = Arc::clone(&group);
        let thread = thread::spawn(move || other.request());
        let mine = group.request();
        let theirs = thread.join().unwrap();
        assert!(mine != theirs, "granted: {mine}, {theirs}");
        assert_eq!(group.xfeatures(), DEFAULT | TILES);
    });
}

/// A first use races with a request, and this thread also makes both. The outcome is SIGILL or a
/// buffer that is large enough, never a small one. Once this thread's own request has been
/// answered, there is no SIGILL.
#[test]
fn a_first_use_meets_requests() {
    loom::model(|| {
        let group = Arc::new(Group::new());
        let (asks, uses) = (Arc::clone(&group), Arc::clone(&group));
        let asks = thread::spawn(move || asks.request());
        let uses = thread::spawn(move || uses.first_use());
        group.request();
        assert!(
            group.first_use().is_some(),
            "refused after its request was answered"
        );
        asks.join().unwrap();
        uses.join().unwrap();
    });
}

/// The kernel's own code, which handles first uses after the module is gone, races with a request.
/// It allocates a buffer of the granted size, never a small one. Both outcomes occur.
#[test]
fn a_first_use_in_c_meets_a_request() {
    static REFUSED: AtomicBool = AtomicBool::new(false);
    static SERVED: AtomicBool = AtomicBool::new(false);
    loom::model(|| {
        let group = Arc::new(Group::new());
        let uses = Arc::clone(&group);
        let uses = thread::spawn(move || {
            let siglock = uses.siglock.lock().unwrap();
            uses.first_use_in_c(&siglock)
        });
        group.request();
        match uses.join().unwrap() {
            Some(size) => {
                assert_eq!(size, capacities().with(DEFAULT | TILES).kernel_size());
                SERVED.store(true, Relaxed);
            }
            None => REFUSED.store(true, Relaxed),
        }
    });
    assert!(REFUSED.load(Relaxed) && SERVED.load(Relaxed));
}

/// Shows that the model can fail: without siglock a thread sees the new mask with the old sizes.
#[test]
#[should_panic]
fn sizes_without_siglock_are_noticed() {
    loom::model(|| {
        let group = Arc::new(Group::new());
        let uses = Arc::clone(&group);
        let uses = thread::spawn(move || uses.first_use_in_c_unlocked());
        group.request();
        uses.join().unwrap();
    });
}

/// Shows that the model can fail: a thread that computes the capacity from an older mask than the
/// one it checked allocates a small buffer, and `commit` notices.
#[test]
fn the_capacity_of_an_older_mask_is_noticed() {
    let Need::Enlarge(capacity) = buffer::need(SMALL, TILES, DEFAULT, &capacities()) else {
        panic!("an armed thread needs a buffer")
    };
    assert_eq!(buffer::commit(SMALL, TILES, &capacity), None);
}
