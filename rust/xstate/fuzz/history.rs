// SPDX-License-Identifier: GPL-2.0
//! The life of a process, read from arbitrary bytes: requests, first uses, fork, exec, reclaim, and
//! a virtual CPU. All invariants are checked after each step. Used by the fuzzer, by the test of
//! its corpus, and by proptest.

mod cpu;
mod data;
mod fpstate;
mod vcpu;

use cpu::Cpu;
use fpstate::Buffer;
use vcpu::Vcpu;
use xstate::buffer::{self, Need};
use xstate::capacity::Capacities;
use xstate::facility;
use xstate::idle::{classify, Clock, Idleness, Note};
use xstate::nm_event::NmEvent;
use xstate::permission::{self, Answer, Permission, PermissionKind, Refusal, GUEST_LOCKED};
use xstate::xfeature::Xfeatures;

const TILES: Xfeatures = Xfeatures::USER_DYNAMIC;
/// The Linux defaults on a Sapphire Rapids: user components, and supervisor components for CET.
const DEFAULT: Xfeatures = Xfeatures::from_bits(0x21ae7);
const USER: Xfeatures = Xfeatures::from_bits(0x602e7);

/// A thread and its buffer.
#[derive(Clone, Copy)]
struct Thread {
    buffer: Buffer,
    /// Whether its tiles are in use.
    live: bool,
    /// The word in which reclaim keeps its note.
    note: u64,
    switches: u32,
    /// The time at which it blocked.
    blocked_at: u64,
    /// Whether its buffer was reclaimed and it has not yet got another one.
    reclaimed: bool,
}

struct Process {
    capacities: Capacities,
    host: Permission,
    guest: Permission,
    threads: Vec<Thread>,
    vcpu: Option<Vcpu>,
    cpu: Cpu,
    /// The time in milliseconds.
    now: u64,
}

/// Runs the history in `data` to its end.
///
/// # Panics
///
/// If an invariant is violated.
pub fn run(data: &[u8]) {
    let mut data = data.iter().copied();
    let mut next = || data.next();
    let Some(format) = next() else { return };
    let mut process = Process::new(Capacities::new(
        data::layout(format, &mut next),
        USER,
        [DEFAULT | TILES, DEFAULT],
    ));
    while let (Some(what), Some(value)) = (next(), next()) {
        let thread = usize::from(what >> 4) % process.threads.len();
        process.now += u64::from(value);
        match what & 15 {
            8 | 9 => process.guest(what & 15, value),
            10 => process.reclaim(thread, value),
            11 => process.release(thread),
            _ => process.step(what & 7, thread, value),
        }
        process.check();
    }
}

impl Process {
    fn step(&mut self, what: u8, thread: usize, value: u8) {
        match what {
            0 => self.request(data::idx(value), PermissionKind::Host),
            1 => self.request(data::idx(value), PermissionKind::Guest),
            2 | 3 => self.nm(thread, data::xfd_err(value)),
            4 => self.new_thread(),
            5 => self.fork(),
            6 => self.exec(),
            _ => self.new_vcpu(),
        }
    }

    fn new(capacities: Capacities) -> Self {
        let capacity = capacities.with(DEFAULT);
        let permission = Permission {
            xfeatures: DEFAULT,
            kernel_size: capacity.kernel_size(),
            user_size: capacity.user_size(),
        };
        let mut process = Process {
            capacities,
            host: permission,
            guest: permission,
            threads: Vec::new(),
            vcpu: None,
            cpu: Cpu::default(),
            now: 0,
        };
        process.new_thread();
        process
    }

    /// A new thread with the built-in buffer, armed.
    fn thread(&self) -> Thread {
        Thread {
            buffer: Buffer::small(&self.capacities, TILES),
            live: false,
            note: 0,
            switches: 0,
            blocked_at: self.now,
            reclaimed: false,
        }
    }

    fn new_thread(&mut self) {
        if self.threads.len() < 8 {
            self.threads.push(self.thread());
        }
    }

    /// Creates a virtual CPU. Once the first one exists, the guest permission is locked.
    fn new_vcpu(&mut self) {
        self.guest.xfeatures = self.guest.xfeatures | GUEST_LOCKED;
        self.vcpu = Some(Vcpu::new(&self.capacities));
    }

    fn fork(&mut self) {
        self.threads = vec![self.thread()];
    }

    fn exec(&mut self) {
        *self = Process::new(self.capacities);
    }

    fn request(&mut self, idx: u64, kind: PermissionKind) {
        let before = match kind {
            PermissionKind::Host => self.host,
            PermissionKind::Guest => self.guest,
        };
        let requested = match facility::LINUX.requested(idx, USER) {
            Ok(requested) => requested,
            Err(Refusal::NoSuchXfeature) => return assert!(idx >= 20),
            Err(refusal) => return assert!(idx < 20 && idx != 18, "{idx}: {refusal:?}"),
        };
        assert_eq!((idx, requested), (18, TILES));
        let answer = permission::request(before.xfeatures, requested, kind, &self.capacities);
        match answer {
            Ok(Answer::Already) => assert!(before.xfeatures.contains(TILES)),
            Ok(Answer::Grant(granted)) => {
                // Exactly what was requested is added, and no size shrinks.
                assert_eq!(granted.xfeatures, before.xfeatures | TILES);
                assert!(granted.kernel_size >= before.kernel_size);
                assert!(granted.user_size >= before.user_size);
                match kind {
                    PermissionKind::Host => self.host = granted,
                    PermissionKind::Guest => self.guest = granted,
                }
            }
            Err(refusal) => {
                assert_eq!(
                    (refusal, kind),
                    (Refusal::GuestLocked, PermissionKind::Guest)
                );
                assert!(before.xfeatures.contains(GUEST_LOCKED));
                assert!(!before.xfeatures.contains(TILES));
            }
        }
    }

    /// Handles a thread's #NM as the module does.
    fn nm(&mut self, thread: usize, xfd_err: u64) {
        let permitted = self.host.xfeatures;
        self.run(thread);
        let thread = &mut self.threads[thread];
        // The context switch loads the thread's value.
        self.cpu.arm(thread.buffer.masks.xfd);
        let used = match NmEvent::from_xfd_err(xfd_err, facility::LINUX) {
            NmEvent::FirstUse(used) => used,
            NmEvent::Unknown(raised) => return assert!((raised & TILES).is_empty()),
            NmEvent::Ordinary => return assert_eq!(xfd_err, 0),
        };
        assert_eq!(used, TILES);
        if !permission::allows(permitted, used) {
            return;
        }
        match buffer::need(thread.buffer.masks, used, permitted, &self.capacities) {
            Need::StaleXfd => assert!((thread.buffer.masks.xfd & used).is_empty()),
            Need::Enlarge(capacity) => thread.buffer.enlarge(used, &capacity),
        }
        thread.live = true;
        self.cpu.arm(thread.buffer.masks.xfd);
        assert!(self.cpu.allows(used), "the instruction would trap again");
    }

    /// A thread runs and blocks again. If its buffer was reclaimed, it gets one before it runs.
    fn run(&mut self, thread: usize) {
        let permitted = self.host.xfeatures;
        let thread = &mut self.threads[thread];
        thread.switches = thread.switches.wrapping_add(2);
        thread.blocked_at = self.now;
        if thread.reclaimed {
            match buffer::need(thread.buffer.masks, TILES, permitted, &self.capacities) {
                Need::Enlarge(capacity) => thread.buffer.enlarge(TILES, &capacity),
                Need::StaleXfd => panic!("a reclaimed buffer is still there"),
            }
            thread.reclaimed = false;
        }
    }

    /// TILERELEASE.
    fn release(&mut self, thread: usize) {
        self.run(thread);
        self.threads[thread].live = false;
    }

    /// A reclaim scan finds this thread blocked.
    fn reclaim(&mut self, thread: usize, interval: u8) {
        let small = Buffer::small(&self.capacities, TILES);
        let thread = &mut self.threads[thread];
        if !thread.buffer.masks.xfeatures.contains(TILES) {
            return;
        }
        let in_use = if thread.live { TILES } else { Xfeatures::NONE };
        let noted = Note::from_word(thread.note);
        let now = Clock::at(self.now);
        match classify(in_use, noted, now, u32::from(interval), thread.switches) {
            Idleness::InUse => thread.note = 0,
            Idleness::IdleSince(note) => thread.note = note.word(),
            Idleness::Reclaimable => {
                assert!(!thread.live, "live tiles are lost");
                let blocked = self.now - thread.blocked_at;
                assert!(blocked + 1 >= u64::from(interval), "too early");
                // Signal frames keep their size.
                thread.buffer = Buffer {
                    user_bytes: thread.buffer.user_bytes,
                    ..small
                };
                (thread.reclaimed, thread.note) = (true, 0);
            }
        }
    }

    /// The hypervisor or its guest does something.
    fn guest(&mut self, what: u8, value: u8) {
        let Some(vcpu) = &mut self.vcpu else { return };
        match what {
            8 => vcpu.set_cpuid(value, self.guest.xfeatures, &self.capacities),
            _ => vcpu.write_xfd(value),
        }
    }

    fn check(&self) {
        self.cpu.check();
        assert!(self.host.xfeatures.contains(DEFAULT));
        assert!(!self.host.xfeatures.contains(GUEST_LOCKED));
        for thread in &self.threads {
            let masks = thread.buffer.masks;
            assert!(
                self.host.xfeatures.contains(masks.xfeatures),
                "more than is permitted"
            );
            assert!(
                masks.xfeatures.contains(TILES & !masks.xfd),
                "disarmed without space"
            );
            thread.buffer.check(self.capacities.layout());
        }
        if let Some(vcpu) = &self.vcpu {
            vcpu.check(self.guest.xfeatures, self.capacities.layout());
        }
    }
}
