// SPDX-License-Identifier: GPL-2.0
//! Threads of a process that ask for permission and use it at the same time, in every order that
//! loom finds: the protocol of rust/xfd/prctl.rs, group_perm.rs and nm_handler.rs around the
//! decisions of this crate. The mask is read without a lock, too; the sizes only under siglock.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread;
use xstate::buffer::{self, Masks, Need};
use xstate::layout::{Component, Format, Layout};
use xstate::permission::{self, Answer, Audience, Permission};
use xstate::xfeature::Xfeatures;

const DEFAULT: Xfeatures = Xfeatures::from_bits(0x202e7);
const USER: Xfeatures = Xfeatures::from_bits(0x602e7);
const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;

fn layout() -> Layout {
    Layout::new(Format::Compacted, |i| match i {
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
    })
}

/// `struct fpu_state_perm` of the group leader.
struct Group {
    siglock: Mutex<()>,
    mask: AtomicU64,
    sizes: UnsafeCell<(u32, u32)>,
}

impl Group {
    fn new() -> Self {
        let layout = layout();
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

    fn get(&self, _siglock: &MutexGuard<'_, ()>) -> Permission {
        self.get_unlocked()
    }

    fn get_unlocked(&self) -> Permission {
        // SAFETY: loom panics if another thread writes at the same time.
        let (kernel_size, user_size) = self.sizes.with(|sizes| unsafe { *sizes });
        Permission {
            xfeatures: self.xfeatures(),
            kernel_size,
            user_size,
        }
    }

    fn set(&self, permission: &Permission, _siglock: &MutexGuard<'_, ()>) {
        self.mask.store(permission.xfeatures.bits(), Relaxed);
        // SAFETY: as above.
        self.sizes
            .with_mut(|sizes| unsafe { *sizes = (permission.kernel_size, permission.user_size) });
    }

    /// `request()` of prctl.rs. Whether it was this thread that was granted it.
    fn request(&self) -> bool {
        if permission::allows(self.xfeatures(), TILES) {
            return false;
        }
        let siglock = self.siglock.lock().unwrap();
        let answer = permission::request(self.xfeatures(), TILES, Audience::Host, USER, &layout());
        match answer {
            Ok(Answer::Grant(granted)) => {
                self.set(&granted, &siglock);
                true
            }
            Ok(Answer::Already) => false,
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    /// `first_use()` of nm_handler.rs: the buffer's size, or `None` for SIGILL.
    fn first_use(&self) -> Option<u32> {
        let permission = self.get(&self.siglock.lock().unwrap());
        room_for(&permission)
    }
}

fn room_for(permission: &Permission) -> Option<u32> {
    if !permission::allows(permission.xfeatures, TILES) {
        return None;
    }
    let old = Masks {
        xfeatures: DEFAULT,
        user_xfeatures: DEFAULT,
        xfd: TILES,
    };
    match buffer::need(old, TILES, permission) {
        Need::Enlarge { kernel_size, .. } => {
            let new = buffer::commit(old, TILES);
            assert!(layout().size(new.xfeatures, Format::Compacted) <= kernel_size);
            Some(kernel_size)
        }
        Need::NothingButArming => panic!("an armed thread needs a buffer"),
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

/// A first use meets a request, and a second one of its own: SIGILL or a buffer with room, never
/// a small buffer; and once its own request was answered, no SIGILL.
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

/// The model can fail: without siglock in the handler, a thread finds the new mask with the old
/// sizes.
#[test]
#[should_panic]
fn the_handler_without_siglock_is_noticed() {
    loom::model(|| {
        let group = Arc::new(Group::new());
        let asks = Arc::clone(&group);
        let asks = thread::spawn(move || asks.request());
        room_for(&group.get_unlocked());
        asks.join().unwrap();
    });
}
